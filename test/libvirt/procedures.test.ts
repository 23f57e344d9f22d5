/** The procedure table: no number twice, and spot checks against libvirt's published numbers. */
import { describe, expect, it } from 'vitest';
import { Program } from '../../src/libvirt/procedures/procedure.ts';
import { messages, procedures } from '../../src/libvirt/procedures.ts';

describe('the procedure table', () => {
  it('has every number once', () => {
    const numbers = [...Object.values(procedures), ...Object.values(messages)].map(
      ({ program, number }) => `${program}:${number}`,
    );
    expect(numbers.length).toBe(new Set(numbers).size);
    expect(numbers.length).toBeGreaterThan(290);
  });

  it.each([
    ['CONNECT_OPEN', 1, true],
    ['DOMAIN_GET_INFO', 16, false],
    ['DOMAIN_DESTROY_FLAGS', 234, true],
    ['CONNECT_LIST_ALL_DOMAINS', 273, true],
    ['DOMAIN_MIGRATE_PERFORM3_PARAMS', 305, false],
    ['CONNECT_GET_ALL_DOMAIN_STATS', 344, false],
  ] as const)('has %s as %d', (name, number, priority) => {
    expect(procedures[name]).toMatchObject({ program: Program.remote, number, priority, stream: undefined });
  });

  it('knows which calls open streams, and which belong to the QEMU program', () => {
    const streams = Object.entries(procedures).filter(([, { stream }]) => stream !== undefined);
    expect(Object.fromEntries(streams.map(([name, { stream }]) => [name, stream]))).toEqual({
      DOMAIN_SCREENSHOT: 'down',
      DOMAIN_OPEN_CONSOLE: 'both',
      DOMAIN_OPEN_CHANNEL: 'both',
      STORAGE_VOL_UPLOAD: 'up',
      STORAGE_VOL_DOWNLOAD: 'down',
    });
    expect(procedures.DOMAIN_AGENT_COMMAND).toMatchObject({ program: Program.qemu, number: 3 });
    expect(messages.DOMAIN_MONITOR_EVENT).toMatchObject({ program: Program.qemu, number: 6 });
  });
});
