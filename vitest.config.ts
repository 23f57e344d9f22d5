// How the tests run: pure and edge tests in parallel, then tests on real VMs: two files at a time where nothing depends on how busy the
// machine is, the others one at a time.
import { defineConfig } from 'vitest/config';

const DEBIAN = 'test/real/cloud-init.test.ts';
/** They measure time or CPU, or need a VM's CPU to reach a threshold. */
const ALONE = [
  'backtest-model',
  'cluster-demo',
  'daemon',
  'demo',
  'fork',
  'haproxy',
  'migration',
  'prometheus',
  'scaling',
].map((name) => `test/real/${name}.test.ts`);

// biome-ignore lint/style/noDefaultExport: vitest asks for a default export
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'fast',
          sequence: { groupOrder: 1 },
          // Vitest leaves one core to itself otherwise, and has little to do with it.
          maxWorkers: '100%',
          include: ['test/**/*.test.ts'],
          exclude: ['test/real/**'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'debian',
          // Beside the fast ones: its guest boots for over a minute on one core, and nothing in it depends on how busy the other is.
          sequence: { groupOrder: 1 },
          maxWorkers: '100%',
          include: [DEBIAN],
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        test: {
          name: 'pairs',
          // A guest that boots keeps one core busy, and the test waits for it on the other.
          sequence: { groupOrder: 2 },
          include: ['test/real/**/*.test.ts'],
          exclude: [DEBIAN, ...ALONE],
          maxWorkers: 2,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        test: {
          name: 'real',
          sequence: { groupOrder: 3 },
          include: ALONE,
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
