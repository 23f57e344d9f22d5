// What `npm run demo`, `npm test` and the others start: makes sure that the packages are there, then hands over to the
// Node of this project. Must itself run on whatever Node the machine has (18 or later), before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installMissingPackages } from './packages.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const BIN = join(ROOT, 'node_modules', '.bin');
const REPORT = join(ROOT, 'node_modules', '.cache', 'virtscale', 'vitest.json');

/**
 * `vms`: needs the packages that real VMs do; `tests`: those of the tests as well; `options`: what an option needs besides. The first of
 * `run` is a program of node_modules/.bin.
 */
const COMMANDS = {
  demo: {
    vms: true,
    options: { '--haproxy': ['haproxy'] },
    run: ['node', 'demo/main.ts'],
    does: 'plays the load story on real VMs',
  },
  test: { vms: true, tests: true, run: ['vitest', 'run'], does: 'runs the tests' },
  // The flag is that of the package's bin: a smaller nursery costs the daemon nothing and saves 30 MB.
  start: { vms: true, run: ['node', '--max-semi-space-size=2', 'src/cli.ts', 'serve'], does: 'runs the daemon' },
  check: { vms: true, tests: true, does: 'types, lint, dead code, tests' },
  bench: { vms: true, tests: true, run: ['node', 'bench/main.ts'], does: 'runs the benchmarks' },
  sim: { vms: false, run: ['node', 'test/sim/main.ts'], does: 'runs the seeded fault simulation' },
  bed: { vms: true, tests: true, run: ['node', 'test/bed/main.ts'], does: 'brings up a test bed of several hosts' },
  install: { vms: true, tests: true, does: 'installs what is missing, nothing else' },
};

const CHECKS = [
  { name: 'types', run: ['tsc', '--noEmit'] },
  { name: 'lint', run: ['biome', 'check', '--error-on-warnings'] },
  { name: 'dead code', run: ['knip'] },
  { name: 'simulation', run: ['node', 'test/sim/main.ts', '--seed', '1000', '--runs', '2000'] },
  { name: 'tests', run: ['vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${REPORT}`] },
];

function modulesAreStale() {
  const installed = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return true;
  return statSync(join(ROOT, 'package-lock.json')).mtimeMs > statSync(installed).mtimeMs;
}

function installModules() {
  if (!modulesAreStale()) return true;
  console.log('Installing the npm packages of package-lock.json ...');
  // Its warnings would be about the machine's older Node, which none of these packages will run on: ours is among them.
  const { status, error } = spawnSync('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  if (status === 0) return true;
  console.error(`npm ci failed${error ? `: ${error.message}` : ''}. Without the npm packages nothing can run.`);
  return false;
}

/** Runs a program of node_modules/.bin to its end, signals passed on. Resolves with its exit status. */
function runToEnd([program, ...args]) {
  const env = { ...process.env, PATH: `${BIN}:${process.env.PATH ?? ''}` };
  const child = spawn(join(BIN, program), args, { cwd: ROOT, stdio: 'inherit', env });
  const forward = (signal) => {
    // Ctrl-C on a terminal reaches the child by itself; a second one would mean "at once".
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, forward);
  return new Promise((resolve) => {
    const end = (status) => {
      for (const signal of signals) process.off(signal, forward);
      resolve(status);
    };
    child.on('error', (error) => {
      console.error(`${program}: ${error.message}`);
      end(127);
    });
    child.on('exit', (code, signal) => end(code ?? 128 + (constants.signals[signal] ?? 0)));
  });
}

/** How many tests passed and failed, as vitest counts. A run that left no report is one failure. */
function readReport(status) {
  try {
    const { numPassedTests: passed, numFailedTests: failed } = JSON.parse(readFileSync(REPORT, 'utf8'));
    return { passed, failed: failed === 0 && status !== 0 ? 1 : failed };
  } catch {
    return { passed: 0, failed: 1 };
  }
}

/** All checks, each whatever became of the one before. The last line is for machines: N passed, N failed. */
async function check(args) {
  const results = [];
  rmSync(REPORT, { force: true });
  mkdirSync(dirname(REPORT), { recursive: true });
  for (const { name, run } of CHECKS) {
    console.log(`\n== ${name}: ${run[0]}`);
    const started = Date.now();
    const status = await runToEnd(name === 'tests' ? [...run, ...args] : run);
    results.push({ name, status, seconds: ((Date.now() - started) / 1000).toFixed(1) });
    if (status > 128) break; // ended by a signal: somebody wants this to stop
  }
  console.log('');
  for (const { name, status, seconds } of results) {
    console.log(`${status === 0 ? 'ok    ' : 'FAILED'}  ${name.padEnd(10)}  ${seconds} s`);
  }
  const others = CHECKS.filter(({ name }) => name !== 'tests').map(({ name }) => name);
  const notOk = others.filter((name) => results.find((result) => result.name === name)?.status !== 0).length;
  const tests = readReport(results.find(({ name }) => name === 'tests')?.status ?? 1);
  console.log(`\n${tests.passed} passed, ${tests.failed + notOk} failed`);
  return tests.failed + notOk === 0 ? 0 : 1;
}

async function main([name, ...args]) {
  const command = Object.hasOwn(COMMANDS, name ?? '') ? COMMANDS[name] : undefined;
  if (command === undefined) {
    console.error('usage: node scripts/run.mjs COMMAND [ARGUMENTS]');
    for (const [known, { does }] of Object.entries(COMMANDS)) console.error(`  ${known.padEnd(8)} ${does}`);
    return 2;
  }
  if (!installModules()) return 1;
  const also = Object.entries(command.options ?? {}).flatMap(([option, wanted]) =>
    args.includes(option) ? wanted : [],
  );
  if (command.vms && !installMissingPackages(command.tests, also)) return 1;
  if (name === 'check') return await check(args);
  if (name === 'install') return 0;
  return await runToEnd([...command.run, ...args]);
}

process.exitCode = await main(process.argv.slice(2));
