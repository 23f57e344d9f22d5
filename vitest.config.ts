// How the tests run: pure and edge tests in parallel, tests on real VMs one file at a time (they share two cores with QEMU).
import { defineConfig } from 'vitest/config';

const DEBIAN = 'test/real/cloud-init.test.ts';

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
          name: 'real',
          // After the fast ones: a VM's CPU only reaches a threshold that nobody else keeps it from.
          sequence: { groupOrder: 2 },
          include: ['test/real/**/*.test.ts'],
          exclude: [DEBIAN],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
