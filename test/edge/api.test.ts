// Reading and telling over /v1: shapes, filters, pages, commands.

import { describe, expect, it } from 'vitest';
import type { LoggedDecision } from '../../src/core/decision.ts';
import { decisionSchema, decisionsSchema } from '../../src/edge/decision-schemas.ts';
import { groupDetailSchema, groupsSchema } from '../../src/edge/group-schemas.ts';
import { eventsSchema, hostsSchema, vmsSchema } from '../../src/edge/schemas.ts';
import { edgeApp } from './edge-app.ts';
import { aDecision, aGroup, aHost, aPolicy, aVm, clock, NOW_MS } from './fake-engine.ts';

const loggedDecisions = (count: number): LoggedDecision[] =>
  Array.from({ length: count }, (_, at) => ({
    ...aDecision({ atMs: NOW_MS - at * 1000, group: at % 2 === 0 ? 'web' : 'db' }),
    id: `d-${count - at}`,
    at: clock.wallOf(NOW_MS - at * 1000),
  }));

describe('hosts and VMs', () => {
  it('shows hosts with units in the names', async () => {
    const { app } = edgeApp({ hosts: [aHost(), aHost({ name: 'b', condition: 'unreachable', reason: 'timed out' })] });
    const { hosts } = hostsSchema.parse(await (await app.request('/v1/hosts')).json());
    expect(hosts.map(({ name, state }) => [name, state])).toEqual([
      ['local', 'up'],
      ['b', 'unreachable'],
    ]);
    expect(hosts[0]?.capacity?.memoryFreeMiB).toBe(1024);
    expect((await app.request('/v1/hosts/b')).status).toBe(200);
  });

  it('filters VMs and finds one by id', async () => {
    const groups = [
      aGroup({ vms: [aVm(), aVm({ id: 3, name: 'web-3', phase: 'draining', host: 'b' })] }),
      aGroup({ policy: aPolicy({ group: 'db' }), vms: [aVm({ id: 9, name: 'db-9', group: 'db' })] }),
    ];
    const { app } = edgeApp({ groups });
    const ids = async (query: string) =>
      vmsSchema.parse(await (await app.request(`/v1/vms${query}`)).json()).vms.map(({ id }) => id);
    expect(await ids('')).toEqual([3, 7, 9]);
    expect(await ids('?group=web')).toEqual([3, 7]);
    expect(await ids('?group=web&phase=draining')).toEqual([3]);
    expect(await ids('?host=b')).toEqual([3]);
    expect(await (await app.request('/v1/vms/9')).json()).toMatchObject({ id: 9, name: 'db-9' });
  });

  it('tells times as RFC 3339, no engine time and no path on a host', async () => {
    const { app } = edgeApp();
    const text = await (await app.request('/v1/vms/7')).text();
    expect(JSON.parse(text)).toMatchObject({
      phaseAt: clock.wallOf(NOW_MS - 60_000),
      deadlineAt: clock.wallOf(NOW_MS + 30_000),
      image: 'backend',
    });
    expect(text).not.toMatch(/AtMs|secret/);
  });
});

describe('groups', () => {
  it('answers why with the latest evaluation', async () => {
    const { app } = edgeApp();
    const text = await (await app.request('/v1/groups/web')).text();
    const group = groupDetailSchema.parse(JSON.parse(text));
    expect(group.lastDecision?.verdicts[0]).toMatchObject({ verdict: 'fires', crossedAt: clock.wallOf(NOW_MS - 3000) });
    expect(group.lastScaleOutAt).toBe(clock.wallOf(NOW_MS - 10_000));
    expect(group.vmCounts).toEqual({
      launching: 0,
      standby: 0,
      inService: 1,
      draining: 0,
      removing: 0,
      total: 1,
    });
    expect(text).not.toMatch(/AtMs|secret/);
  });

  it('lists groups, also one that was not evaluated yet and one whose breaker is open', async () => {
    const fresh = {
      policy: aPolicy({ group: 'new' }),
      file: 'new.yaml',
      memory: { paused: false, breaker: { failures: 0 } },
      vms: [],
      candidates: [],
      templates: [],
    };
    const broken = aGroup({
      memory: {
        desired: 2,
        paused: true,
        breaker: { failures: 3, openedAtMs: NOW_MS, retryAtMs: NOW_MS + 60_000, lastReason: 'no image' },
      },
    });
    const { app } = edgeApp({ groups: [fresh, broken] });
    const { groups } = groupsSchema.parse(await (await app.request('/v1/groups')).json());
    expect(groups[0]).not.toHaveProperty('desired');
    expect(groups[1]).toMatchObject({
      paused: true,
      breaker: { open: true, failures: 3, retryAt: clock.wallOf(NOW_MS + 60_000), reason: 'no image' },
    });
  });

  it('sets the desired size, pauses and resumes', async () => {
    const { app, engine } = edgeApp();
    const patch = (desired: unknown) =>
      app.request('/v1/groups/web', {
        method: 'PATCH',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ desired }),
      });
    const answer = await patch(3);
    expect(answer.status).toBe(200);
    expect(groupDetailSchema.parse(await answer.json()).desired).toBe(3);
    expect((await patch(5)).status).toBe(409);
    expect(await (await app.request('/v1/groups/web/pause', { method: 'POST' })).json()).toMatchObject({
      paused: true,
    });
    expect(await (await app.request('/v1/groups/web/resume', { method: 'POST' })).json()).toMatchObject({
      paused: false,
    });
    expect((await app.request('/v1/groups/none/pause', { method: 'POST' })).status).toBe(404);
    expect(engine.commands).toEqual(['desired web 3', 'desired web 5', 'pause web', 'resume web', 'pause none']);
  });
});

describe('history', () => {
  it('pages decisions, newest first, to the end', async () => {
    const { app } = edgeApp({ decisions: loggedDecisions(7) });
    const seen: (string | undefined)[] = [];
    let before = '';
    for (let pages = 0; pages < 10; pages++) {
      const answer = await app.request(`/v1/decisions?limit=3${before && `&before=${before}`}`);
      const page = decisionsSchema.parse(await answer.json());
      seen.push(...page.decisions.map(({ id }) => id));
      if (page.nextBefore === undefined) break;
      before = page.nextBefore;
    }
    expect(seen).toEqual(['d-7', 'd-6', 'd-5', 'd-4', 'd-3', 'd-2', 'd-1']);
  });

  it('shows one decision, and none that there is not', async () => {
    const { app } = edgeApp({ decisions: loggedDecisions(3) });
    const one = decisionSchema.parse(await (await app.request('/v1/decisions/d-2')).json());
    expect(one).toMatchObject({ id: 'd-2', group: 'db', cpuPercentByVm: { 'web-7': 91.2 } });
    expect((await app.request('/v1/decisions/d-9')).status).toBe(404);
    const { decisions } = decisionsSchema.parse(await (await app.request('/v1/decisions?group=db')).json());
    expect(decisions.map(({ id }) => id)).toEqual(['d-2']);
  });

  it('pages events through a filter without gap, and an empty page still leads on', async () => {
    const { app, engine } = edgeApp();
    for (let at = 0; at < 25; at++) {
      engine.log.append({ type: 'host.up', host: 'a' }, { type: 'breaker.closed', group: at % 2 ? 'web' : 'db' });
    }
    const seen: number[] = [];
    let since = 0;
    for (let pages = 0; pages < 20; pages++) {
      const answer = await app.request(`/v1/events?since=${since}&limit=5&group=web&types=breaker.closed,host.up`);
      const page = eventsSchema.parse(await answer.json());
      seen.push(...page.events.map(({ seq }) => seq));
      since = page.nextSince;
      if (since === page.lastSeq) break;
    }
    expect(seen).toEqual([4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48]);
    expect(since).toBe(50);
  });

  it('does not pass over an event that is stored while a page is being read', async () => {
    const { app, engine } = edgeApp();
    engine.log.append({ type: 'host.up', host: 'a' });
    engine.log.afterRead = async () => engine.log.append({ type: 'breaker.closed', group: 'web' });
    const page = eventsSchema.parse(await (await app.request('/v1/events?since=0&group=web')).json());
    expect(page.events).toEqual([]);
    expect(page.nextSince).toBe(1);
  });

  it('says what is lost to retention and what has not happened yet', async () => {
    const { app, engine } = edgeApp();
    for (let at = 0; at < 10; at++) engine.log.append({ type: 'host.up', host: 'a' });
    engine.log.retain(4);
    const expired = await app.request('/v1/events?since=5');
    expect(expired.status).toBe(410);
    expect(await expired.json()).toMatchObject({ type: 'urn:virtscale:problem:expired', oldestSeq: 7 });
    expect((await app.request('/v1/events?since=6')).status).toBe(200);
    const ahead = await app.request('/v1/events?since=11');
    expect(ahead.status).toBe(409);
    expect(await ahead.json()).toMatchObject({ type: 'urn:virtscale:problem:ahead', lastSeq: 10 });
    const all = eventsSchema.parse(await (await app.request('/v1/events')).json());
    expect(all.events.map(({ seq }) => seq)).toEqual([7, 8, 9, 10]);
  });
});
