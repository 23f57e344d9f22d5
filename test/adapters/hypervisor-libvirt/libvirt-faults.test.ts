// What libvirt's errors and broken connections become for the engine, and that people are told what to do.

import { describe, expect, test } from 'vitest';
import { faultOf } from '../../../src/adapters/hypervisor/libvirt/libvirt-faults.ts';
import { ConnectionError, LibvirtError, UriError } from '../../../src/libvirt/index.ts';
import { Fault } from '../../../src/ports/fault.ts';

const libvirtError = (code: number, message: string, domain = 10): LibvirtError =>
  new LibvirtError({ code, domain, level: 2, message });
const errno = (code: string): Error => Object.assign(new Error(code), { code });

describe('libvirt said no', () => {
  test.each([
    [
      1,
      `internal error: process exited while connecting to monitor: Failed to get "write" lock`,
      'conflict',
      /another vm/i,
    ],
    [1, "internal error: qemu: Could not set up host forwarding rule 'tcp:127.0.1.1:8080-:80'", 'conflict', /listens/],
    [
      1,
      'internal error: qemu-img: /p/vs-a.qcow2: error while writing: No space left on device',
      'refused',
      /free space/i,
    ],
    [38, 'cannot write: No space left on device', 'refused', /free space/i],
    [1, 'qemu-img: /i.qcow2: Image is not in qcow2 format', 'refused', /qemu-img check/],
    [9, "operation failed: domain 'web-1' already exists with uuid 0000", 'conflict', /another domain/i],
    [38, "Cannot access storage file '/i.qcow2': No such file or directory", 'refused', /path/],
    [38, "Cannot access storage file '/root/i.qcow2': Permission denied", 'refused', /must be able to read/],
    [67, 'unsupported configuration: Emulator not found', 'refused', /./],
    [68, 'Timed out during operation: cannot acquire state change lock (held by monitor=x)', 'busy', /another job/],
    [87, 'resource busy', 'busy', undefined],
    [86, 'Guest agent is not responding: QEMU guest agent is not connected', 'busy', undefined],
    [90, "storage volume 'vs-a.qcow2' exists already", 'conflict', undefined],
    [88, 'access denied', 'refused', /group libvirt/],
    [45, 'authentication failed', 'refused', /group libvirt/],
    [27, 'XML error: no', 'refused', undefined],
    [39, 'unknown procedure: 450', 'refused', /too old/],
  ])('%i %s is %s', (code, message, kind, advice) => {
    const fault = faultOf(libvirtError(code, message), 'host h1: start');
    expect(fault).toMatchObject({ kind, message: `host h1: start: ${message}` });
    if (advice instanceof RegExp && advice.source !== '.') expect(fault.advice).toMatch(advice);
    expect(fault.cause).toBeInstanceOf(LibvirtError);
  });

  test("a connection that broke between libvirt's own daemons is a broken connection", () => {
    expect(faultOf(libvirtError(38, 'Cannot recv data: Connection reset by peer', 7), 'x').kind).toBe('unreachable');
    expect(faultOf(libvirtError(1, 'internal error: client socket is closed', 7), 'x').kind).toBe('unreachable');
    expect(faultOf(libvirtError(1, 'internal error: client socket is closed', 10), 'x').kind).toBe('refused');
  });
});

describe('no answer', () => {
  test.each([
    ['timed-out', undefined, 'timed-out', undefined],
    ['busy', undefined, 'busy', undefined],
    ['closed', undefined, 'unreachable', /libvirtd/],
    ['protocol', undefined, 'unreachable', /libvirtd/],
    ['refused', 'ECONNREFUSED', 'unreachable', /libvirtd/],
    ['refused', 'EACCES', 'refused', /usermod -aG libvirt/],
    ['unreachable', 'ENOENT', 'unreachable', /install libvirt/],
    ['unreachable', 'EHOSTUNREACH', 'unreachable', /host is up/],
    // The transports themselves say what is wrong with a key or a certificate.
    ['auth', undefined, 'refused', undefined],
  ] as const)('%s (%s) is %s', (kind, code, expected, advice) => {
    const inner = new ConnectionError(kind, 'why', code === undefined ? {} : { cause: errno(code) });
    // As it comes from a client whose attempt to connect failed before: wrapped.
    const fault = faultOf(new ConnectionError(kind, 'not sent: why', { cause: inner }), 'host h1: observe');
    expect(fault.kind).toBe(expected);
    if (advice === undefined) expect(fault.advice).toBeUndefined();
    else expect(fault.advice).toMatch(advice);
  });
});

test('what the caller cancelled is aborted, whatever it ended with', () => {
  expect(faultOf(new ConnectionError('closed', 'why'), 'x', AbortSignal.abort()).kind).toBe('aborted');
  expect(faultOf(AbortSignal.abort().reason, 'x', AbortSignal.abort()).kind).toBe('aborted');
});

test('a fault stays what it is, a wrong uri is refused, a bug stays a bug', () => {
  const fault = new Fault('conflict', 'mine');
  expect(faultOf(fault, 'x')).toBe(fault);
  expect(faultOf(new UriError('bad'), 'x').kind).toBe('refused');
  expect(() => faultOf(new TypeError('bug'), 'x')).toThrow(TypeError);
});
