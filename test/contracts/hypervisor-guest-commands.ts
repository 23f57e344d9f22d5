// The contract of programs run in guests (src/ports/guest-commands.ts), run against every adapter as a part of the hypervisor's.
// Not here: shells and files, which not every guest of a double has.

import { describe, expect } from 'vitest';
import type { FaultKind } from '../../src/ports/fault.ts';
import { Fault } from '../../src/ports/fault.ts';
import { EXEC_INPUT_MAX_BYTES, type ExecOptions, type ExecResult } from '../../src/ports/guest-commands.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import type { HypervisorFixture } from './hypervisor.ts';

/** A guest whose agent answers. */
export interface GuestCommandsParts {
  readonly fixture: () => HypervisorFixture;
  readonly aSpec: (changes?: Partial<VmSpec>) => VmSpec;
  readonly unmake: (spec: VmSpec) => Promise<void>;
  readonly check: (name: string, work: () => Promise<void>) => void;
}

const SOON_MS = 3000;
const ID = 'b7d1c2f0-4d0e-4a55-9d5c-3a3c6a2f0001';
const never = new AbortController().signal;

export function describeGuestCommands({ aSpec, check, fixture, unmake }: GuestCommandsParts): void {
  const expectFault = async (kind: FaultKind, work: Promise<unknown>): Promise<void> => {
    const error = await work.then(
      (value) => `no fault, but ${JSON.stringify(value)}`,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(Fault);
    expect(error).toMatchObject({ kind });
  };
  const run = async (
    uuid: string,
    argv: readonly [string, ...string[]],
    options: ExecOptions = {},
    signal = never,
  ): Promise<ExecResult & { stdout: string; stderr: string }> => {
    const written = { stdout: '', stderr: '' };
    const onOutput: ExecOptions['onOutput'] = ({ bytes, stream }) => {
      written[stream] += Buffer.from(bytes).toString('latin1');
    };
    const result = await fixture().hypervisor.guest.exec(uuid, argv, { onOutput, ...options }, signal);
    return { ...result, ...written };
  };
  const untilAnswers = async (uuid: string): Promise<void> => {
    const { clock, hypervisor, patienceMs } = fixture();
    const endMs = clock.nowMs() + patienceMs;
    while (!(await hypervisor.agentAnswers(uuid, 1000, never))) {
      if (clock.nowMs() > endMs) throw new Error(`no agent within ${patienceMs} ms`);
      await clock.sleep(50);
    }
  };

  describe('programs in guests', () => {
    check('what it writes and how it ends is told, whatever it is given to read', async () => {
      const { clock, hypervisor } = fixture();
      const networks = [{ id: ID, address: '10.88.7.1', prefixBits: 24 }];
      const spec = aSpec({ networks });
      await expectFault('gone', run(spec.uuid, ['true']));
      await hypervisor.createDisk(spec, never);
      await hypervisor.define(spec, never);
      await expectFault('conflict', run(spec.uuid, ['true']));
      await hypervisor.start(spec.uuid, never);
      await expectFault('busy', run(spec.uuid, ['true']));
      await untilAnswers(spec.uuid);

      // The card beside the first one is what it was asked for, also to somebody who comes anew.
      const seen = (await hypervisor.observe(never)).domains.find(({ uuid }) => uuid === spec.uuid);
      expect(seen?.metadata?.networks).toEqual(networks);

      expect(await run(spec.uuid, ['true'])).toEqual({ exitCode: 0, stdout: '', stderr: '' });
      expect(await run(spec.uuid, ['false'])).toMatchObject({ exitCode: 1 });
      expect(await run(spec.uuid, ['echo', 'a  b', "$HOME ' *"])).toMatchObject({ stdout: "a  b $HOME ' *\n" });
      const input = new TextEncoder().encode('x'.repeat(600_000));
      expect((await run(spec.uuid, ['cat'], { input })).stdout.length).toBe(input.length);
      const absent = await run(spec.uuid, ['no-such-program']);
      expect(absent).toMatchObject({ exitCode: 127, stdout: '' });
      expect(absent.stderr).toContain('no-such-program');

      await expectFault('refused', run(spec.uuid, ['cat'], { input: new Uint8Array(EXEC_INPUT_MAX_BYTES + 1) }));
      await expectFault('refused', run(spec.uuid, ['cat'], { input, maxOutputBytes: 1000 }));
      await expectFault('timed-out', run(spec.uuid, ['sleep', '600'], { timeoutMs: 500 }));

      const giveUp = new AbortController();
      const given = expectFault('aborted', run(spec.uuid, ['sleep', '600'], {}, giveUp.signal));
      await clock.sleep(300);
      const abortedAtMs = clock.nowMs();
      giveUp.abort();
      await given;
      expect(clock.nowMs() - abortedAtMs).toBeLessThan(SOON_MS);
      await expectFault('aborted', run(spec.uuid, ['true'], {}, giveUp.signal));

      // Several at once; then its guest is taken away from one.
      const both = await Promise.all(['one', 'two'].map((word) => run(spec.uuid, ['echo', word])));
      expect(both.map(({ stdout }) => stdout)).toEqual(['one\n', 'two\n']);
      const left = expectFault('conflict', run(spec.uuid, ['sleep', '600']));
      await clock.sleep(300);
      await hypervisor.destroy(spec.uuid, never);
      await left;
      await unmake(spec);
    });
  });
}
