// The part of the Store contract about images, tokens, numbers, cordons, the last host and kept answers. Run by storeContract (store.ts).
// Not here: what any of them is for (engine, edge).

import { describe, expect, test } from 'vitest';
import type { CatalogImage, Token } from '../../src/core/catalog.ts';
import type { KeptAnswer, Numbered, Store } from '../../src/ports/store.ts';
import { AT, EMPTY, type OpenStore } from './store.ts';

export function aCatalogImage(name: string, changes: Partial<CatalogImage> = {}): CatalogImage {
  return { name, source: { kind: 'upload' }, state: 'importing', addedAt: AT, configured: false, ...changes };
}

export function aToken(name: string, changes: Partial<Token> = {}): Token {
  return { name, scope: 'operate', sha256: 'c0'.repeat(32), createdAt: AT, ...changes };
}

export function anAnswer(key: string, changes: Partial<KeptAnswer> = {}): KeptAnswer {
  return {
    key,
    fingerprint: 'f',
    status: 202,
    headers: { 'content-type': 'application/json', location: '/v1/operations/o-1' },
    body: '{"id":"o-1"}',
    at: AT,
    ...changes,
  };
}

const CONTENT = { sha256: 'ab'.repeat(32), fileBytes: 300, virtualBytes: 4096 };

const ODD = 'ü 🚀 \' " \\ \u0000 \n \u2028';

function later(ms: number): string {
  return new Date(Date.parse(AT) + ms).toISOString();
}

export function storeCatalogContract(open: OpenStore): void {
  describe('images and tokens', () => {
    test('images of every source come back as they went in, by name; later ones replace, deleted ones are gone', async () => {
      const { store } = await open();
      const image = { name: 'ready', format: 'qcow2', content: CONTENT } as const;
      const direct = { kernel: '/k', initrd: '/i', args: 'quiet' };
      const images: readonly CatalogImage[] = [
        aCatalogImage('built', { source: { kind: 'built' }, configured: true }),
        aCatalogImage('host', {
          source: { kind: 'host', path: '/h' },
          state: 'ready',
          image: { name: 'host', format: 'raw', path: '/h', direct },
        }),
        aCatalogImage('path', { source: { kind: 'path', path: '/p' } }),
        aCatalogImage('ready', { state: 'ready', image }),
        aCatalogImage('ssh', { source: { kind: 'ssh', user: 'u', host: 'h', path: '/s' } }),
        aCatalogImage('ssh2', { source: { kind: 'ssh', host: 'h', path: '/s' } }),
        aCatalogImage('url', {
          source: { kind: 'url', url: 'http://127.0.0.1/x' },
          state: 'failed',
          reason: 'status 404',
        }),
        aCatalogImage(ODD),
      ];
      await store.commit({ putImages: [aCatalogImage('ready'), aCatalogImage('gone')] });
      await store.commit({ putImages: images.toReversed(), deleteImages: ['gone', 'nobody'] });
      expect((await store.load()).images).toEqual(images);
    });

    test('tokens come back as they went in, by name; later ones replace, deleted ones are gone', async () => {
      const { store } = await open();
      const ann = aToken('ann', { scope: 'admin', expiresAt: later(1000) });
      await store.commit({ putTokens: [aToken('bob'), aToken('ann'), aToken('gone')] });
      await store.commit({ putTokens: [ann], deleteTokens: ['gone', 'nobody'] });
      expect((await store.load()).tokens).toEqual([ann, aToken('bob')]);
    });

    test('all of it is there after closing and opening again', async () => {
      const { store, reopen } = await open();
      if (reopen === undefined) return;
      await store.commit({
        putImages: [aCatalogImage('i')],
        putTokens: [aToken('t')],
        putNumbers: [{ kind: 'host', key: '10.0.0.1', id: 1 }],
        putCordons: { h1: 'disk' },
        lastHost: 'h1',
      });
      await store.keepAnswer(anAnswer('a'));
      const before = await store.load();
      expect(before).not.toEqual(EMPTY);
      const again = await reopen();
      expect(await again.load()).toEqual(before);
      expect(await again.answer('a')).toEqual(anAnswer('a'));
    });
  });

  describe('numbers', () => {
    const numbers: readonly Numbered[] = [
      { kind: 'flavor', key: 'small', id: 1 },
      { kind: 'host', key: ODD, id: 1 },
      { kind: 'host', key: 'small', id: 7 },
      { kind: 'image', key: 'small', id: 1 },
    ];

    test('they come back by kind and number; the same again changes nothing', async () => {
      const { store } = await open();
      await store.commit({ putNumbers: numbers.toReversed() });
      await store.commit({ putNumbers: numbers });
      expect((await store.load()).numbers).toEqual(numbers);
    });

    test.each<readonly [string, Numbered]>([
      ['another number for the same key', { kind: 'host', key: 'small', id: 8 }],
      ['the same number for another key', { kind: 'host', key: 'large', id: 7 }],
      ['a number that is not positive', { kind: 'host', key: 'large', id: 0 }],
      ['a number that is not whole', { kind: 'host', key: 'large', id: 1.5 }],
    ])('%s fails the commit', async (_, numbered) => {
      const { store } = await open();
      await store.commit({ putNumbers: numbers });
      await expect(store.commit({ putNumbers: [numbered], lastHost: 'h1' })).rejects.toThrow();
      expect(await store.load()).toEqual({ ...EMPTY, numbers });
    });
  });

  describe('cordons and the last host', () => {
    test('a cordon stays with its last reason until it is ended; ending one that is not there is no error', async () => {
      const { store } = await open();
      await store.commit({ putCordons: { h1: 'disk', h2: 'fan', ['__proto__']: ODD } });
      await store.commit({ putCordons: { h1: 'disk again', h2: null, h3: null } });
      expect(Object.entries((await store.load()).cordons).toSorted()).toEqual([
        ['__proto__', ODD],
        ['h1', 'disk again'],
      ]);
    });

    test('the last host is the last one told, and stays when nobody tells', async () => {
      const { store } = await open();
      await store.commit({ lastHost: 'h1' });
      await store.commit({ lastHost: ODD });
      await store.commit({ putCordons: { h1: 'disk' } });
      expect((await store.load()).lastHost).toBe(ODD);
    });
  });

  describe('kept answers', () => {
    const kept = async (store: Store, keys: readonly string[]): Promise<readonly string[]> => {
      const answers = await Promise.all(keys.map((key) => store.answer(key)));
      return answers.flatMap((answer) => (answer === undefined ? [] : [answer.key]));
    };

    test('an answer is found by its key, as it was kept; another for the same key replaces it', async () => {
      const { store } = await open();
      await store.keepAnswer(anAnswer(ODD, { body: ODD }));
      await store.keepAnswer(anAnswer('b'));
      expect(await store.answer(ODD)).toEqual(anAnswer(ODD, { body: ODD }));
      expect(await store.answer('nobody')).toBeUndefined();
      await store.keepAnswer(anAnswer('b', { status: 409, headers: {}, body: '' }));
      expect(await store.answer('b')).toEqual(anAnswer('b', { status: 409, headers: {}, body: '' }));
    });

    test('those older than a day go when another is kept', async () => {
      const { store } = await open();
      const day = 24 * 60 * 60 * 1000;
      for (const [key, ms] of [
        ['a', 0],
        ['b', 1000],
        ['c', day],
      ] as const)
        await store.keepAnswer(anAnswer(key, { at: later(ms) }));
      expect(await kept(store, ['a', 'b', 'c'])).toEqual(['a', 'b', 'c']);
      await store.keepAnswer(anAnswer('d', { at: later(day + 1000) }));
      expect(await kept(store, ['a', 'b', 'c', 'd'])).toEqual(['b', 'c', 'd']);
    });

    test('the oldest go when there are too many', async () => {
      const { store } = await open({ keepAnswers: 3 });
      for (const key of ['a', 'b', 'c', 'a', 'd']) await store.keepAnswer(anAnswer(key));
      expect(await kept(store, ['a', 'b', 'c', 'd'])).toEqual(['a', 'c', 'd']);
    });
  });
}
