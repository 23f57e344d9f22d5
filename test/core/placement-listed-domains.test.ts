// Which of the domains that a policy lists are started next.

import { describe, expect, it } from 'vitest';
import { pickListed } from '../../src/core/placement/listed-domains.ts';
import { domainOf, hostOf, snapshotOf, uuidOf } from './builders.ts';

describe('listed domains', () => {
  const stopped = (id: number, name: string) => domainOf(id, { name, state: 'stopped' });
  const hosts = [
    hostOf('h1', { domains: [stopped(1, 'vm1'), stopped(2, 'vm2'), domainOf(3, { name: 'vm3' })] }),
    hostOf('h2', { state: 'stale', domains: [stopped(4, 'vm4')] }),
  ];
  const listed = ['vm4', 'vm3', 'vm2', 'vm1', 'vm5'].map((name) => ({ name }));

  it('start in the order of the list, when stopped, free and on a host that is up', () => {
    const picked = pickListed(snapshotOf({ hosts }), listed, 5, new Set([uuidOf(1)]));
    expect(picked.domains).toEqual([{ host: 'h1', name: 'vm2', uuid: uuidOf(2) }]);
    expect(picked.choices).toEqual([
      { name: 'vm4', chosen: false, text: 'no host that answers has a domain of this name' },
      { name: 'vm3', chosen: false, text: 'runs already' },
      { name: 'vm2', chosen: true, text: 'started on host h1' },
      { name: 'vm1', chosen: false, text: 'in use already' },
      { name: 'vm5', chosen: false, text: 'no host that answers has a domain of this name' },
    ]);
  });

  it('are not looked at beyond what is needed', () => {
    const picked = pickListed(
      snapshotOf({ hosts }),
      [{ name: 'vm2', address: '10.0.0.2' }, { name: 'vm1' }],
      1,
      new Set(),
    );
    expect(picked.domains).toEqual([{ host: 'h1', name: 'vm2', uuid: uuidOf(2), address: '10.0.0.2' }]);
    expect(picked.choices).toHaveLength(1);
  });

  it('are never VMs that virtscale made, whatever their name', () => {
    const metadata = { id: 9, group: 'db', owner: 'policy', operation: 'op', image: 'backend', flavor: 'small' };
    const made = hostOf('h1', { domains: [{ ...stopped(1, 'vm1'), metadata }] });
    const picked = pickListed(snapshotOf({ hosts: [made] }), [{ name: 'vm1' }], 1, new Set());
    expect(picked.domains).toEqual([]);
    expect(picked.choices[0]?.text).toBe('a VM that group db looks after, not a domain of your own');
    const { group: _none, ...alone } = metadata;
    const single = hostOf('h1', { domains: [{ ...stopped(1, 'vm1'), metadata: alone }] });
    const [choice] = pickListed(snapshotOf({ hosts: [single] }), [{ name: 'vm1' }], 1, new Set()).choices;
    expect(choice?.text).toContain('a VM that virtscale looks after');
  });

  it('with one name on two hosts: the first that can be started', () => {
    const both = [
      hostOf('h1', { domains: [domainOf(1, { name: 'vm1' })] }),
      hostOf('h2', { domains: [stopped(2, 'vm1')] }),
    ];
    expect(pickListed(snapshotOf({ hosts: both }), [{ name: 'vm1' }], 1, new Set()).domains).toEqual([
      { host: 'h2', name: 'vm1', uuid: uuidOf(2) },
    ]);
  });
});
