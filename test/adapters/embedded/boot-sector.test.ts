import { describe, expect, it } from 'vitest';
import { bootSector } from '../../../src/adapters/hypervisor/boot-sector.ts';

describe('boot sector', () => {
  const sector = bootSector();

  it('is one sector that a BIOS takes for bootable', () => {
    expect(sector.length).toBe(512);
    expect(sector.readUInt16LE(510)).toBe(0xaa55);
  });

  it('has its parts where its own addresses point', () => {
    const at = (address: number, length: number) =>
      sector.subarray(address - 0x7c00, address - 0x7c00 + length).toString('hex');
    expect(at(0x7c57, 5)).toBe('ea5c7c0800'); // the jump into long mode, to
    expect(at(0x7c5c, 5)).toBe('b810000000'); // its first instruction
    expect(at(0x7cae, 3)).toBe('0f20d8'); // the loop's head
    expect(at(0x7cc5, 2)).toBe('75e7'); // 0x7cc7 - 25 = 0x7cae
    expect(at(0x7cdb, 2)).toBe('48cf'); // the exception handler
    expect(at(0x7cf8, 6)).toBe('1700e07c0000'); // 24 bytes of descriptors at 0x7ce0
    expect(at(0x7cfe, 10)).toBe('3f0000b0000000000000');
  });
});
