// What virtscale.yaml says about placement: algorithm, modules, overcommit, labels, reserved amounts.

import { describe, expect, it } from 'vitest';
import { type DaemonConfig, DEFAULT_FLAVORS } from '../../src/config/daemon-config.ts';
import { parseDaemonConfig } from '../../src/config/daemon-file.ts';
import { problemText } from '../../src/config/file-problem.ts';
import { hostTraitsOf } from '../../src/config/host-traits.ts';
import { policyNamesOf } from '../../src/config/policy-names.ts';
import { PLACEMENT_NAMES } from '../../src/core/placement/registry.ts';

function parsed(text: string) {
  const file = { path: '/etc/vs/virtscale.yaml', text };
  return parseDaemonConfig({ env: {}, homeDir: '/home/ada', cwd: '/srv', file });
}

function accepted(text: string): DaemonConfig {
  const result = parsed(text);
  if (!result.ok) throw new Error(result.problems.map(problemText).join('\n'));
  return result.config;
}

function problems(text: string): readonly string[] {
  const result = parsed(text);
  return result.ok
    ? []
    : result.problems.map(({ line, column, path, reason }) => `${line}:${column} ${path}: ${reason}`);
}

describe('placement in the configuration', () => {
  it('is not there unless it is said', () => {
    expect(accepted('poll: 1s\n')).not.toHaveProperty('placement');
  });

  it.each<[string, DaemonConfig['placement']]>([
    ['first-fit', { algorithm: 'first-fit', modules: [], overcommit: {} }],
    ['{}', { algorithm: 'least-loaded', modules: [], overcommit: {} }],
    [
      './mine.mjs',
      { algorithm: './mine.mjs', modules: [{ name: './mine.mjs', path: '/etc/vs/mine.mjs' }], overcommit: {} },
    ],
    [
      '{ algorithm: threshold, maxLoad: 70, overcommit: { cpus: 4, memory: 1.5, disk: 1 } }',
      { algorithm: 'threshold', modules: [], overcommit: { cpus: 4, memory: 1.5, disk: 1 }, maxLoad: 0.7 },
    ],
    [
      '{ modules: [mine.js, /opt/other.ts, mine.js] }',
      {
        algorithm: 'least-loaded',
        modules: [
          { name: 'mine.js', path: '/etc/vs/mine.js' },
          { name: '/opt/other.ts', path: '/opt/other.ts' },
        ],
        overcommit: {},
      },
    ],
  ])('may be %s', (text, placement) => {
    expect(accepted(`placement: ${text}\n`).placement).toEqual(placement);
  });

  it.each<[string, string]>([
    [
      'placement: firstfit\n',
      '1:1 placement.algorithm: no placement algorithm is named "firstfit" (did you mean "first-fit"?); there are: least-loaded, ',
    ],
    ['placement: firstfit\n', 'spread, or the path of a module such as ./mine.mjs'],
    ['placement: { algorithm: 3 }\n', '1:25 placement.algorithm: must be text'],
    ['placement: { overcommit: { cpu: 4 } }\n', 'placement.overcommit.cpu: unknown key (did you mean "cpus"?)'],
    ['placement: { overcommit: { cpus: 0 } }\n', 'must be a number from 0.01 to 100, not 0'],
    ['placement: { overcommit: { cpus: .nan } }\n', 'must be a number from 0.01 to 100'],
    ['placement: { maxLoad: 70% }\n', 'must be a number from 1 to 100, not "70%"'],
    ['placement: { modules: [mine] }\n', 'must be the path of a module, such as ./mine.mjs'],
    ['placement: [spread]\n', 'placement: must be a block of keys, not a list'],
    ['hosts: [{ name: a, embedded: true, reserved: { memory: 1 } }]\n', 'needs a unit: write 1M or 1G'],
    ['hosts: [{ name: a, embedded: true, reserved: { cpus: -1 } }]\n', 'must be a number from 0 to 10000, not -1'],
    ['hosts: [{ name: a, embedded: true, labels: { zone: "" } }]\n', 'labels.zone: must be a word of up to 63 letters'],
    ['hosts: [{ name: a, embedded: true, labels: { "-x": a } }]\n', 'a label is a word'],
    ['hosts: [{ name: a, embedded: true, labels: [a] }]\n', 'labels: must be '],
    [
      `hosts: [{ name: a, embedded: true, labels: { ${Array.from({ length: 51 }, (_, i) => `l${i}: x`).join(', ')} } }]\n`,
      'has more than 50 labels',
    ],
  ])('is refused: %s', (text, expected) => {
    expect(problems(text)).toContainEqual(expect.stringContaining(expected));
  });
});

describe("a host's traits", () => {
  const CONFIG = `
placement: { overcommit: { cpus: 6, memory: 1.2 } }
hosts:
  - { name: b, uri: "qemu:///system", labels: { zone: a, rack: 7, ssd: true }, reserved: { cpus: 1, memory: 1G, disk: 10G } }
  - { name: a, embedded: true, overcommit: { memory: 1, disk: 2 }, reserved: { cpus: 0.5 } }
  - { name: c, embedded: true }
`;

  it('are what it says, else what placement says, else the defaults', () => {
    expect([...hostTraitsOf(accepted(CONFIG))]).toEqual([
      [
        'b',
        {
          index: 0,
          labels: { zone: 'a', rack: '7', ssd: 'true' },
          overcommit: { cpus: 6, memory: 1.2, disk: 1 },
          reserved: { vcpus: 1, memoryMiB: 1024, diskGiB: 10 },
        },
      ],
      [
        'a',
        {
          index: 1,
          labels: {},
          overcommit: { cpus: 6, memory: 1, disk: 2 },
          reserved: { vcpus: 0.5, memoryMiB: 0, diskGiB: 0 },
        },
      ],
      [
        'c',
        {
          index: 2,
          labels: {},
          overcommit: { cpus: 6, memory: 1.2, disk: 1 },
          reserved: { vcpus: 0, memoryMiB: 0, diskGiB: 0 },
        },
      ],
    ]);
    expect(hostTraitsOf(accepted('')).get('local')?.overcommit).toEqual({ cpus: 4, memory: 1, disk: 1 });
  });

  it('and the names that policies may use', () => {
    const config = accepted(CONFIG.replace('{ overcommit', '{ modules: [./x.mjs], overcommit'));
    expect(policyNamesOf(config)).toEqual({
      flavors: DEFAULT_FLAVORS,
      placements: [...PLACEMENT_NAMES, './x.mjs'],
      hosts: ['b', 'a', 'c'],
      balancers: [],
      prometheus: false,
    });
  });
});
