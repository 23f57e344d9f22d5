// The recorder port's contract, for every adapter. Not here: files.

import { describe, expect, it } from 'vitest';
import type { Recorder } from '../../src/ports/recorder.ts';
import { turnsOf } from '../core/recorded-turns.ts';

export function recorderContract(name: string, open: () => Promise<Recorder>): void {
  describe(`recorder: ${name}`, () => {
    const turns = [...turnsOf({ vms: 8, groups: 2, hosts: 2, turns: 30 })];
    const json = (value: unknown): string => JSON.stringify(value);
    const decided = (group: string, turn: number): string => {
      const { at, decisions } = turns[turn] ?? { decisions: [] };
      return json({ at, decision: decisions.find((one) => one.group === group) });
    };

    it('finds what the latest evaluation at or before a time decided', async () => {
      const recorder = await open();
      for (const turn of turns) recorder.record(turn);
      expect(json(await recorder.find('group-0', '2026-03-01T00:00:07.000Z'))).toBe(decided('group-0', 7));
      expect(json(await recorder.find('group-1', '2026-03-01T00:00:07.999Z'))).toBe(decided('group-1', 7));
      expect(json(await recorder.find('group-1', '2026-03-01T01:00:08+01:00'))).toBe(decided('group-1', 8));
      expect(json(await recorder.find('group-0', '2030-01-01T00:00:00Z'))).toBe(decided('group-0', 29));
      await recorder.close();
    });

    it('finds nothing before the first, for another group, or at no time', async () => {
      const recorder = await open();
      expect(await recorder.find('group-0', '2026-03-01T00:00:07.000Z')).toBeUndefined();
      for (const turn of turns) recorder.record(turn);
      expect(await recorder.find('group-0', '2026-02-28T23:59:59.999Z')).toBeUndefined();
      expect(await recorder.find('other', '2026-03-01T00:00:07.000Z')).toBeUndefined();
      expect(await recorder.find('group-0', 'yesterday')).toBeUndefined();
      await recorder.close();
    });

    it('knows of groups that came later and of groups that are gone', async () => {
      const recorder = await open();
      turns.forEach((turn, index) => {
        const decisions = turn.decisions.filter(({ group }) => (group === 'group-0' ? index < 10 : index >= 5));
        recorder.record({ ...turn, decisions });
      });
      const at = async (group: string, time: string) => (await recorder.find(group, time))?.at;
      expect(await at('group-1', '2026-03-01T00:00:04Z')).toBeUndefined();
      expect(await at('group-1', '2026-03-01T00:00:05Z')).toBe('2026-03-01T00:00:05.000Z');
      expect(await at('group-0', '2026-03-01T00:00:25Z')).toBe('2026-03-01T00:00:09.000Z');
      expect(await at('group-0', '2026-03-02T00:00:00Z')).toBe('2026-03-01T00:00:09.000Z');
      await recorder.close();
    });
  });
}
