import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closest } from '../../src/config/did-you-mean.ts';
import { readDuration } from '../../src/config/duration.ts';
import { isLoopback, readListen } from '../../src/config/listen.ts';
import { readSizeMiB } from '../../src/config/size.ts';

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['3s', 3000],
    ['1.5s', 1500],
    ['0.3s', 300],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['0s', 0],
    [' 3 s ', 3000],
  ])('%s', (text, ms) => {
    expect(readDuration(text)).toEqual({ ok: true, value: ms });
  });

  it.each([
    [3, 'needs a unit: write 3s for seconds'],
    ['3', 'is not a duration'],
    ['s', 'is not a duration'],
    ['-3s', 'is not a duration'],
    ['3 seconds', 'is not a duration'],
    ['1h30m', 'is not a duration'],
    ['0.0001s', 'finer than a millisecond'],
    ['', 'is not a duration'],
    [null, 'must be a duration'],
    [['3s'], 'must be a duration'],
    ['9'.repeat(1000), 'is not a duration'],
    ['3constructor', 'is not a duration'],
  ])('%j is refused', (value, reason) => {
    const result = readDuration(value);
    expect(result).toEqual({ ok: false, reason: expect.stringContaining(reason) });
    if (!result.ok) expect(result.reason.length).toBeLessThan(150);
  });

  it('are read back as they were written', () => {
    fc.assert(
      fc.property(fc.nat(1e9), (ms) => {
        expect(readDuration(`${ms}ms`)).toEqual({ ok: true, value: ms });
        expect(readDuration(`${ms / 1000}s`)).toEqual({ ok: true, value: ms });
      }),
    );
  });
});

describe('sizes', () => {
  it.each([
    ['128M', 128],
    ['128m', 128],
    ['128MiB', 128],
    ['512MB', 512],
    ['2G', 2048],
    ['1.5G', 1536],
    ['1T', 1_048_576],
  ])('%s', (text, mib) => {
    expect(readSizeMiB(text)).toEqual({ ok: true, value: mib });
  });

  it.each([
    [128, 'needs a unit: write 128M or 128G'],
    ['128', 'is not a size'],
    ['128K', 'is not a size'],
    ['-1G', 'is not a size'],
    ['0.3M', 'not a whole number of MiB'],
    [true, 'must be a size'],
  ])('%j is refused', (value, reason) => {
    expect(readSizeMiB(value)).toEqual({ ok: false, reason: expect.stringContaining(reason) });
  });
});

describe('listen addresses', () => {
  it.each([
    ['127.0.0.1:7070', '127.0.0.1', 7070, true],
    ['127.3.2.1:0', '127.3.2.1', 0, true],
    ['localhost:80', 'localhost', 80, true],
    ['[::1]:7070', '::1', 7070, true],
    ['0.0.0.0:7070', '0.0.0.0', 7070, false],
    ['[::]:7070', '::', 7070, false],
    ['127.0.0.1.example.org:80', '127.0.0.1.example.org', 80, false],
    ['10.0.0.1:65535', '10.0.0.1', 65_535, false],
  ])('%s', (text, host, port, loopback) => {
    expect(readListen(text)).toEqual({ ok: true, value: { host, port } });
    expect(isLoopback({ host, port })).toBe(loopback);
  });

  it.each(['7070', ':7070', '127.0.0.1', '127.0.0.1:', '::1:7070', '127.0.0.1:70000', 'http://x:1', 7070, null, {}])(
    '%j is refused',
    (value) => {
      expect(readListen(value)).toEqual({ ok: false, reason: expect.stringContaining('127.0.0.1:7070') });
    },
  );
});

describe('did you mean', () => {
  it.each([
    ['mx', ['min', 'max'], 'max'],
    ['treshold', ['threshold'], 'threshold'],
    ['drian', ['drain', 'launch'], 'drain'],
    ['Min', ['min'], 'min'],
    ['colour', ['min', 'max'], undefined],
    ['x'.repeat(100_000), ['min'], undefined],
  ])('%s', (word, words, meant) => {
    expect(closest(word, words)).toBe(meant);
  });
});
