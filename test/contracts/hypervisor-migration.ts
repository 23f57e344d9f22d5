// The contract of the port `migration`, run against every pair of adapters. Not here: what an engine makes of it (test/engine).

import { expect, test } from 'vitest';
import type { Fault, FaultKind } from '../../src/ports/fault.ts';
import type { Hypervisor, VmSpec } from '../../src/ports/hypervisor.ts';
import type { MigrationArrival, MigrationSource, MoveOptions } from '../../src/ports/migration.ts';

export interface MigrationPair {
  readonly source: Hypervisor;
  readonly target: Hypervisor;
  readonly aSpec: () => VmSpec;
  /** Lets time pass until `work` has settled. */
  readonly drive: <T>(work: () => Promise<T>) => Promise<T>;
  /** Makes the next moves take long enough to be called off; the options that do so, if any. */
  readonly slow: () => Partial<MoveOptions>;
  readonly sleep: (ms: number) => Promise<void>;
}

const never = new AbortController().signal;

export function describeMigration(name: string, pair: () => MigrationPair): void {
  const check = (what: string, work: () => Promise<void>): void => test(`${name}: ${what}`, () => pair().drive(work));

  const launch = async (spec: VmSpec): Promise<void> => {
    const { source } = pair();
    await source.createDisk(spec, never);
    await source.define(spec, never);
    await source.start(spec.uuid, never);
  };
  const remove = async (spec: VmSpec): Promise<void> => {
    for (const host of [pair().source, pair().target]) {
      await host.destroy(spec.uuid, never);
      await host.undefine(spec.uuid, never);
      await host.deleteDisk(spec.name, never);
    }
  };
  const prepared = async (spec: VmSpec): Promise<{ source: MigrationSource; arrival: MigrationArrival }> => {
    const source = await pair().source.migration.describe(spec.uuid, never);
    const arrival = await pair().target.migration.prepare({ source, disks: 'whole' }, never);
    return { source, arrival };
  };
  const optionsOf = ({ disks }: MigrationSource): MoveOptions => ({
    disks: 'whole',
    diskTargets: disks.map(({ target }) => target),
  });
  const expectFault = async (kinds: readonly FaultKind[], work: Promise<unknown>): Promise<void> => {
    const fault = (await work.then(
      () => undefined,
      (error: unknown) => error,
    )) as Fault | undefined;
    expect(kinds).toContain(fault?.kind);
  };

  check('a VM that has moved is whole, defined and paused at the target, and gone from the source', async () => {
    const spec = pair().aSpec();
    await launch(spec);
    const { arrival, source } = await prepared(spec);
    const from = pair().source.migration;
    const to = pair().target.migration;
    expect(await from.look(spec.uuid, never)).toEqual({ state: 'running', busy: false, persistent: true });
    await from.move(spec.uuid, arrival, optionsOf(source), never);
    expect(await from.look(spec.uuid, never)).toEqual({ state: 'absent', busy: false, persistent: false });
    expect(await to.look(spec.uuid, never)).toEqual({ state: 'paused', busy: false, persistent: true });
    await pair().target.resume(spec.uuid, never);
    expect(await to.look(spec.uuid, never)).toMatchObject({ state: 'running' });
    const { domains } = await pair().target.observe(never);
    const there = domains.find(({ uuid }) => uuid === spec.uuid);
    expect(there?.metadata).toMatchObject({ id: spec.metadata.id });
    if (arrival.endpoint !== undefined) expect(there?.metadata?.endpoint).toEqual(arrival.endpoint);
    await pair().source.deleteDisk(spec.name, never);
    expect(await pair().source.listDisks(never)).not.toContain(spec.name);
    expect(await pair().target.listDisks(never)).toContain(spec.name);
    to.forget(spec.uuid);
    await remove(spec);
  });

  check('a move that is called off leaves the VM running where it was, and no copy', async () => {
    const spec = pair().aSpec();
    await launch(spec);
    const { arrival, source } = await prepared(spec);
    const from = pair().source.migration;
    const moving = expectFault(
      ['refused', 'conflict', 'busy', 'gone', 'aborted', 'unreachable', 'timed-out'],
      from.move(spec.uuid, arrival, { ...optionsOf(source), ...pair().slow() }, never),
    );
    for (let looks = 0; looks < 200 && !(await from.look(spec.uuid, never)).busy; looks += 1) await pair().sleep(10);
    await pair().sleep(300);
    await from.cancel(spec.uuid, never);
    await moving;
    expect(await from.look(spec.uuid, never)).toMatchObject({ state: 'running', busy: false });
    expect(await pair().target.migration.look(spec.uuid, never)).toMatchObject({ state: 'absent' });
    pair().target.migration.forget(spec.uuid);
    await remove(spec);
  });

  check('nothing to call off, to tell or to see is no error', async () => {
    const { uuid } = pair().aSpec();
    const { migration } = pair().source;
    await migration.cancel(uuid, never);
    expect(await migration.figures(uuid, never)).toBeUndefined();
    expect(await migration.look(uuid, never)).toEqual({ state: 'absent', busy: false, persistent: false });
    await expectFault(['gone'], migration.describe(uuid, never));
  });

  check('what does not run is not moved, and what is there already does not come', async () => {
    const spec = pair().aSpec();
    await launch(spec);
    const described = await pair().source.migration.describe(spec.uuid, never);
    await expectFault(['conflict'], pair().source.migration.prepare({ source: described, disks: 'whole' }, never));
    await pair().source.pause(spec.uuid, never);
    await expectFault(['conflict'], pair().source.migration.describe(spec.uuid, never));
    await pair().source.resume(spec.uuid, never);
    await pair().source.destroy(spec.uuid, never);
    await expectFault(['conflict'], pair().source.migration.describe(spec.uuid, never));
    await remove(spec);
  });

  check('two that come to one host get addresses of their own, before either is there', async () => {
    const [one, other] = [pair().aSpec(), pair().aSpec()];
    await launch(one);
    await launch(other);
    const first = await prepared(one);
    const second = await prepared(other);
    if (first.arrival.endpoint !== undefined) expect(second.arrival.endpoint).not.toEqual(first.arrival.endpoint);
    for (const { uuid } of [one, other]) pair().target.migration.forget(uuid);
    await remove(one);
    await remove(other);
  });
}
