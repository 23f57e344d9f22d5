// Names inside a balancer.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isOurServer, serverNameOf } from '../../../src/adapters/balancer/server-name.ts';

test('an ordinary name stays readable', () => {
  expect(serverNameOf('web-1')).toBe('virtscale-web-1');
});

test('every name becomes one that balancers accept', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (vm) => /^virtscale-[\w.-]*$/.test(serverNameOf(vm))));
});

test('different names stay different, also beside those that look escaped', () => {
  const letters = fc.string({ unit: fc.constantFrom('_', '5', 'f', '2', '0', ' ', '-', 'é', '名') });
  fc.assert(fc.property(letters, letters, (a, b) => (serverNameOf(a) === serverNameOf(b)) === (a === b)));
});

test('ours are told from those of people', () => {
  expect(isOurServer(serverNameOf('web-1'))).toBe(true);
  expect(isOurServer('web-1')).toBe(false);
});
