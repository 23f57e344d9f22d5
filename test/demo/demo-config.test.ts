import { describe, expect, it } from 'vitest';
import { BALANCER, configText, policyText } from '../../demo/demo-config.ts';
import { FAST_PACE, NORMAL_PACE } from '../../demo/pace.ts';
import { parseDaemonConfig } from '../../src/config/daemon-file.ts';
import { parsePolicy } from '../../src/config/policy-file.ts';

const catalog = {
  images: [{ name: 'backend', path: '/images/root.qcow2', format: 'qcow2' as const }],
  flavors: [{ name: 'small', vcpus: 1, memoryMiB: 128 }],
  balancers: [BALANCER],
};

const paces = [
  { name: 'normal', pace: NORMAL_PACE },
  { name: 'fast', pace: FAST_PACE },
];

describe('the policy of the demo', () => {
  it.each(paces)('is a valid one at the $name pace', ({ pace }) => {
    const parsed = parsePolicy(policyText(pace), 'web.yaml', catalog);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    expect(parsed.policy).toMatchObject({ group: 'web', min: 1, max: 2 });
    expect(parsed.policy).not.toHaveProperty('balancer');
    expect(parsed.policy.rules).toMatchObject([
      { direction: 'out', threshold: 75, forMs: 3000 },
      { direction: 'in', threshold: 20 },
    ]);
  });

  it.each(paces)('is a valid one behind HAProxy at the $name pace', ({ pace }) => {
    const parsed = parsePolicy(policyText(pace, BALANCER), 'web.yaml', catalog);
    expect(parsed).toMatchObject({ ok: true, policy: { balancer: 'front' } });
  });
});

describe('the configuration of the demo behind HAProxy', () => {
  it('names its socket and backend', () => {
    const file = { path: '/x/virtscale.yaml', text: configText('/x/haproxy.sock') };
    const parsed = parseDaemonConfig({ file, env: {}, homeDir: '/h', cwd: '/x' });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    expect(parsed.config.balancers).toEqual([
      { kind: 'haproxy', name: 'front', socket: { path: '/x/haproxy.sock' }, backend: 'web' },
    ]);
  });
});
