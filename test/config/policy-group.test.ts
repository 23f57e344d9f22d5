// What a policy says about its VMs besides rules: each key right and wrong.

import { describe, expect, it } from 'vitest';
import { DEFAULT_FLAVORS } from '../../src/config/daemon-config.ts';
import { problemText } from '../../src/config/file-problem.ts';
import { type PolicyCatalog, parsePolicy, twinReason } from '../../src/config/policy-file.ts';
import type { Policy } from '../../src/core/policy.ts';
import { IMAGE } from '../core/builders.ts';

const CATALOG: PolicyCatalog = { images: [IMAGE], flavors: DEFAULT_FLAVORS, balancers: ['front', 'back'] };

const WEB = `group: web
min: 1
max: 8
template: { image: backend, flavor: small, ready: { http: { port: 80 } } }
`;
const OLD = `group: old
min: 1
max: 2
domains: [vm1, vm2]
ready: { tcp: { port: 22 } }
`;

function accepted(text: string, catalog = CATALOG): Policy {
  const result = parsePolicy(text, '/etc/virtscale/policies/web.yaml', catalog);
  if (!result.ok) throw new Error(result.problems.map(problemText).join('\n'));
  return result.policy;
}

function web(more: string): Policy {
  return accepted(`${WEB}${more}\n`);
}

/** `line:column path: reason`; what is added to WEB begins on line 5. */
function problems(text: string, catalog = CATALOG): readonly string[] {
  const result = parsePolicy(text, 'web.yaml', catalog);
  return result.ok
    ? []
    : result.problems.map(({ line, column, path, reason }) => `${line}:${column} ${path}: ${reason}`);
}

describe('a group', () => {
  it('observes, alone or as a candidate', () => {
    expect(web('')).toMatchObject({ mode: 'act' });
    expect(web('mode: observe')).toMatchObject({ mode: 'observe' });
    expect(web('mode: observe')).not.toHaveProperty('candidate');
    expect(web('mode: observe\ncandidate: gentler')).toMatchObject({ mode: 'observe', candidate: 'gentler' });
  });

  it.each([
    ['{ http: { port: 80 } }', { http: { port: 80, path: '/' } }],
    ['{ tcp: { port: 22 } }', { tcp: { port: 22 } }],
    ['{ agent: true }', { agent: true }],
  ])('is ready by %s', (text, ready) => {
    const policy = accepted(WEB.replace('{ http: { port: 80 } }', text));
    expect(policy.source).toMatchObject({ template: { ready } });
  });

  it('has its pace limited', () => {
    expect(web('limits: { out: { per: 15s, vms: 4, percent: 100 }, in: { stabilise: 300s } }').pace).toEqual({
      out: { rate: { windowMs: 15_000, vms: 4, percent: 100 }, stabiliseMs: 0 },
      in: { stabiliseMs: 300_000 },
    });
    expect(web('limits: { in: { per: 1m, percent: 10, stabilise: 5m } }').pace).toEqual({
      out: { stabiliseMs: 0 },
      in: { rate: { windowMs: 60_000, percent: 10 }, stabiliseMs: 300_000 },
    });
    expect(web('limits: {}').pace).toEqual({ out: { stabiliseMs: 0 }, in: { stabiliseMs: 0 } });
  });

  it('says how it comes to VMs and whom it removes', () => {
    expect(web('capacity: { fork: true, paused: 1 }').capacity).toEqual({
      fork: true,
      paused: 1,
      saved: 0,
      stopped: 0,
    });
    expect(web('warmup: 10s').warmupMs).toBe(10_000);
    expect(web('removal: fullest-host').removal).toEqual({ kind: 'fullest-host' });
    expect(web('removal: { label: priority }').removal).toEqual({ kind: 'label', label: 'priority' });
    expect(web('balancer: front').balancer).toBe('front');
  });

  it('asks before VMs come and go, with keys beside its file', () => {
    const hooks =
      'hooks: { launch: { url: "http://h/x", secretFile: keys/hook }, remove: { url: "https://h/y", deadline: 5m } }';
    expect(web(hooks).hooks).toEqual({
      launch: {
        url: 'http://h/x',
        secretFile: '/etc/virtscale/policies/keys/hook',
        deadlineMs: 60_000,
        onTimeout: 'abandon',
      },
      remove: { url: 'https://h/y', deadlineMs: 300_000, onTimeout: 'continue' },
    });
    expect(web('hooks: { remove: { url: "http://h/", secretFile: /k, onTimeout: abandon } }').hooks).toEqual({
      remove: { url: 'http://h/', secretFile: '/k', deadlineMs: 60_000, onTimeout: 'abandon' },
    });
  });

  it.each(['true', '{}'])('has its health checked like its readiness: %s', (text) => {
    expect(web(`health: ${text}`).health).toEqual({
      check: { http: { port: 80, path: '/' } },
      intervalMs: 5000,
      timeoutMs: 1000,
      failures: 3,
      graceMs: 30_000,
      budget: { vms: 1 },
    });
  });

  it('has its health checked in a way of its own', () => {
    const text = 'health: { tcp: { port: 8080 }, interval: 10s, timeout: 2s, failures: 5, grace: 0s, budget: 25% }';
    expect(web(text).health).toEqual({
      check: { tcp: { port: 8080 } },
      intervalMs: 10_000,
      timeoutMs: 2000,
      failures: 5,
      graceMs: 0,
      budget: { percent: 25 },
    });
    expect(accepted(`${OLD}health: true\n`).health).toMatchObject({ check: { tcp: { port: 22 } } });
    expect(web('health: false')).not.toHaveProperty('health');
  });

  it('is refreshed when it is told to be', () => {
    const defaults = {
      surge: 1,
      unavailable: 0,
      checkpoints: [],
      pauseMs: 300_000,
      failures: 3,
      onFailure: 'rollback',
    };
    expect(web('refresh: true').refresh).toEqual(defaults);
    expect(
      web('refresh: { unavailable: 2, checkpoints: [25%, 50%], pause: 1m, failures: 1, onFailure: stop }').refresh,
    ).toEqual({
      ...defaults,
      unavailable: 2,
      checkpoints: [0.25, 0.5],
      pauseMs: 60_000,
      failures: 1,
      onFailure: 'stop',
    });
    expect(web('refresh: false')).not.toHaveProperty('refresh');
  });
});

describe('a group is refused', () => {
  it.each<[string, string, readonly string[]]>([
    ['another mode', 'mode: dry-run', ['5:7 mode: must be act or observe, not "dry-run"']],
    [
      'a candidate that acts',
      'candidate: x',
      ['5:1 candidate: goes with mode: observe: a candidate decides beside the policy in force, and does nothing'],
    ],
    [
      'a candidate of two words',
      'mode: observe\ncandidate: a b',
      ['6:12 candidate: must be a name of up to 40 lower-case letters, digits, dots and dashes, not "a b"'],
    ],
    ['a limit to the side', 'limits: { up: { vms: 1 } }', ['5:11 limits.up: unknown key; known here: out, in']],
    [
      'a rate without time',
      'limits: { out: { vms: 4 } }',
      ['5:23 limits.out.vms: needs per, the time within which no more may change, such as per: 60s'],
    ],
    [
      'a time without rate',
      'limits: { in: { per: 60s } }',
      ['5:22 limits.in.per: goes with vms or percent: how much may change within that time'],
    ],
    [
      'a rate of nothing',
      'limits: { in: { per: 60s, vms: 0 } }',
      ['5:32 limits.in.vms: must be from 1 to 1000, not 0'],
    ],
    [
      'a percent with sign',
      'limits: { in: { per: 60s, percent: 10% } }',
      ['5:36 limits.in.percent: must be a whole number, not "10%"'],
    ],
    [
      'a window without unit',
      'limits: { in: { stabilise: 300 } }',
      ['5:28 limits.in.stabilise: needs a unit: write 300s for seconds, or 300ms, 300m, 300h'],
    ],
    [
      'the other spelling',
      'limits: { in: { stabilize: 300s } }',
      ['5:17 limits.in.stabilize: unknown key (did you mean "stabilise"?)'],
    ],
    ['a long warm-up', 'warmup: 2d', ['5:9 warmup: must be from 0s to 24h, not 2d']],
    ['a fork that is a number', 'capacity: { fork: 3 }', ['5:19 capacity.fork: must be true or false, not 3']],
    ['fewer standbys than none', 'capacity: { paused: -1 }', ['5:21 capacity.paused: must be from 0 to 1000, not -1']],
    [
      'another kind of standby',
      'capacity: { warm: 1 }',
      ['5:13 capacity.warm: unknown key; known here: fork, paused, saved, stopped'],
    ],
    [
      'another order',
      'removal: oldst',
      [
        '5:10 removal: must be idlest, oldest, newest or fullest-host, not "oldst" (did you mean "oldest"?); or { label: NAME }',
      ],
    ],
    [
      'a label that is none',
      'removal: { label: "a b" }',
      ['5:19 removal.label: must be a label: a word of letters, digits, dots, dashes, underscores and slashes'],
    ],
    ['no label', 'removal: {}', ['5:1 removal.label: is missing']],
    [
      'a balancer there is not',
      'balancer: fron',
      ['5:11 balancer: no balancer is named "fron" (did you mean "front"?); there are: front, back'],
    ],
    ['a hook without URL', 'hooks: { launch: {} }', ['5:10 hooks.launch.url: is missing']],
    [
      'a hook elsewhere',
      'hooks: { launch: { url: "ftp://h" } }',
      ['5:25 hooks.launch.url: must be a URL such as http://127.0.0.1:9000/path, not "ftp://h"'],
    ],
    [
      'a hook with a password',
      'hooks: { launch: { url: "http://a:b@h" } }',
      ['5:25 hooks.launch.url: must have no user and password in it: they would show in logs'],
    ],
    [
      'a hook with an anchor',
      'hooks: { launch: { url: "http://h/#x" } }',
      ['5:25 hooks.launch.url: must have no part after #: it is never sent'],
    ],
    [
      'a hook of another moment',
      'hooks: { ready: { url: "http://h" } }',
      ['5:10 hooks.ready: unknown key; known here: launch, remove'],
    ],
    [
      'an endless hook',
      'hooks: { launch: { url: "http://h", deadline: 2h } }',
      ['5:47 hooks.launch.deadline: must be from 1s to 1h, not 2h'],
    ],
    [
      'another end of a hook',
      'hooks: { launch: { url: "http://h", onTimeout: stop } }',
      ['5:48 hooks.launch.onTimeout: must be continue or abandon, not "stop"'],
    ],
    [
      'two checks',
      'health: { agent: true, tcp: { port: 1 } }',
      ['5:1 health: has more than one of http, tcp and agent: keep the one that counts'],
    ],
    ['an agent that is not', 'health: { agent: false }', ['5:18 health.agent: must be true, or left out, not false']],
    ['a word for health', 'health: yes', ['5:9 health: must be true, or a block of keys, not "yes"']],
    ['a hasty check', 'health: { interval: 100ms }', ['5:21 health.interval: must be from 1s to 1h, not 100ms']],
    ['no patience', 'health: { failures: 0 }', ['5:21 health.failures: must be from 1 to 100, not 0']],
    [
      'no budget',
      'health: { budget: 0 }',
      ['5:19 health.budget: must be a number of VMs from 1 to 1000, or a share from 1% to 100%, not 0'],
    ],
    [
      'a share beyond all',
      'health: { budget: 200% }',
      ['5:19 health.budget: must be a number of VMs from 1 to 1000, or a share from 1% to 100%, not "200%"'],
    ],
    [
      'a refresh without room',
      'refresh: { surge: 0 }',
      [
        '5:19 refresh.surge: surge and unavailable are both 0: no VM could ever be replaced; give one of them at least 1',
      ],
    ],
    [
      'checkpoints that fall',
      'refresh: { checkpoints: [50%, 25%] }',
      ['5:31 refresh.checkpoints[1]: checkpoints must rise: 25% comes after 50%'],
    ],
    [
      'checkpoints without sign',
      'refresh: { checkpoints: [50] }',
      ['5:26 refresh.checkpoints[0]: must be a share such as 10%, write it with the sign: 50%'],
    ],
    [
      'a checkpoint at the end',
      'refresh: { checkpoints: [100%] }',
      ['5:26 refresh.checkpoints[0]: must be from 1% to 99%, not "100%"'],
    ],
    [
      'another end of a refresh',
      'refresh: { onFailure: continue }',
      ['5:23 refresh.onFailure: must be rollback or stop, not "continue"'],
    ],
    ['a word for a refresh', 'refresh: rolling', ['5:10 refresh: must be true, or a block of keys, not "rolling"']],
  ])('%s', (_name, more, expected) => {
    expect(problems(`${WEB}${more}\n`)).toEqual(expected);
  });

  it.each<[string, string, readonly string[]]>([
    [
      'no readiness',
      WEB.replace('{ http: { port: 80 } }', '{}'),
      ['4:44 template.ready: needs one of http: { port: 80, path: / }, tcp: { port: 22 } and agent: true; it has none'],
    ],
    [
      'two of them',
      WEB.replace('{ http: { port: 80 } }', '{ agent: true, tcp: { port: 1 } }'),
      ['4:44 template.ready: has more than one of http, tcp and agent: keep the one that counts'],
    ],
    [
      'a balancer without a port',
      `${WEB.replace('{ http: { port: 80 } }', '{ agent: true }')}balancer: front\n`,
      ['5:1 balancer: needs the port that clients use: let ready be http or tcp, not agent'],
    ],
    [
      'forks of listed domains',
      `${OLD}capacity: { fork: true }\n`,
      ['6:1 capacity: goes with template: listed domains are started and shut down as they are'],
    ],
    [
      'a refresh of listed domains',
      `${OLD}refresh: true\n`,
      ['6:1 refresh: goes with template: listed domains are started and shut down as they are'],
    ],
  ])('%s', (_name, text, expected) => {
    expect(problems(text)).toEqual(expected);
  });

  it('a balancer where the configuration has none', () => {
    expect(problems(`${WEB}balancer: front\n`, { ...CATALOG, balancers: [] })).toEqual([
      '5:11 balancer: no balancer is named "front"; the configuration has none: add it to balancers:',
    ]);
  });

  it('beside another file of the same group', () => {
    expect(twinReason({ group: 'web', mode: 'act' }, 'a.yaml')).toBe(
      'group web has a policy already, in a.yaml; one file per group acts: to try another policy beside it, let it have mode: observe and a candidate name',
    );
    expect(twinReason({ group: 'web', mode: 'observe' }, 'a.yaml')).toMatch(/give this one a name: candidate: NAME$/);
    expect(twinReason({ group: 'web', mode: 'observe', candidate: 'x' }, 'a.yaml')).toBe(
      'group web has a candidate named x already, in a.yaml',
    );
  });
});
