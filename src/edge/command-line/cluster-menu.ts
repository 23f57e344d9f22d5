// `virtscale cluster` on a terminal, with nothing after it: a menu, for those who would rather be asked than remember commands.
// Each choice becomes a command, which is shown and run. Not here: what the commands do, and how a person is asked (program).

import { printable, type Terminal } from './terminal.ts';

/** What is to be asked for one of a command's words. */
interface Question {
  readonly text: string;
  /** Taken when nothing is typed; absent: something must be. */
  readonly otherwise?: string;
}

interface Choice {
  readonly text: string;
  readonly questions: readonly Question[];
  readonly words: (answers: readonly string[]) => readonly string[];
}

/** Undefined: the person has gone. */
export type Ask = (question: string) => Promise<string | undefined>;
export type Run = (words: readonly string[]) => Promise<number>;

const CLUSTER: Question = { text: 'Name of the cluster' };
const VM: Question = { text: 'Which VM (such as lab-node1)' };

function optional(option: string, answer: string | undefined): readonly string[] {
  return answer === undefined || answer === '' ? [] : [option, answer];
}

const CHOICES: readonly Choice[] = [
  { text: 'Sign in', questions: [{ text: 'Your name' }], words: ([name = '']) => ['login', name] },
  { text: 'Sign up', questions: [{ text: 'Your name' }], words: ([name = '']) => ['user', 'add', name] },
  { text: 'Clusters and their nodes', questions: [{ ...CLUSTER, otherwise: '' }], words: ([name = '']) => shown(name) },
  {
    text: 'Create a cluster',
    questions: [
      CLUSTER,
      { text: 'How many nodes', otherwise: '2' },
      { text: 'Image', otherwise: 'mpi' },
      { text: 'vCPUs of each node', otherwise: '1' },
      { text: 'Memory of each node', otherwise: '256M' },
      { text: 'Disk of each node (empty: as large as the image)', otherwise: '' },
      { text: 'Algorithm (first-fit, round-robin, threshold, …; empty: as configured)', otherwise: '' },
    ],
    words: ([name = '', nodes = '', image = '', vcpus = '', memory = '', disk, algorithm]) => [
      ...['cluster', 'create', name, '--nodes', nodes, '--image', image, '--vcpus', vcpus, '--memory', memory],
      ...optional('--disk', disk),
      ...optional('--algorithm', algorithm),
    ],
  },
  {
    text: 'Add nodes to a cluster',
    questions: [CLUSTER, { text: 'How many', otherwise: '1' }],
    words: ([name = '', nodes = '']) => ['cluster', 'add', name, '--nodes', nodes],
  },
  {
    text: 'Remove a node',
    questions: [CLUSTER, { text: 'Which node (such as node2)' }],
    words: ([name = '', node = '']) => ['cluster', 'remove', name, node],
  },
  { text: 'Delete a cluster', questions: [CLUSTER], words: ([name = '']) => ['cluster', 'delete', name] },
  {
    text: 'Resize the disk of a VM',
    questions: [VM, { text: 'Size, such as 4G' }],
    words: ([vm = '', size = '']) => ['vms', 'resize', vm, '--disk', size],
  },
  {
    text: 'Change the memory of a VM',
    questions: [VM, { text: 'Memory, such as 512M' }],
    words: ([vm = '', size = '']) => ['vms', 'resize', vm, '--memory', size],
  },
  {
    text: 'Change the vCPUs of a VM',
    questions: [VM, { text: 'How many' }],
    words: ([vm = '', count = '']) => ['vms', 'resize', vm, '--vcpus', count],
  },
  {
    text: 'Run an MPI program',
    questions: [
      CLUSTER,
      { text: 'File: a program, or its source' },
      { text: 'Ranks (empty: all vCPUs)', otherwise: '' },
    ],
    words: ([name = '', file = '', ranks]) => ['cluster', 'run', name, file, ...optional('--np', ranks)],
  },
  {
    text: 'Where is a VM',
    questions: [{ text: 'Its name or address' }],
    words: ([vm = '']) => ['where', vm],
  },
  {
    text: 'Take a snapshot of a cluster',
    questions: [CLUSTER, { text: 'What it is called (empty: the time)', otherwise: '' }],
    words: ([name = '', snapshot = '']) => ['cluster', 'snapshot', name, ...(snapshot === '' ? [] : [snapshot])],
  },
  {
    text: 'Go back to a snapshot',
    questions: [CLUSTER, { text: 'Which snapshot' }],
    words: ([name = '', snapshot = '']) => ['cluster', 'revert', name, snapshot],
  },
  {
    text: 'Move a VM to another host',
    questions: [VM, { text: 'To which host (empty: the best)', otherwise: '' }],
    words: ([vm = '', host]) => ['vms', 'migrate', vm, ...optional('--to', host)],
  },
  { text: 'Sign out', questions: [], words: () => ['logout'] },
];

const LEAVE = '0';
/** A person has typed so much before this: whatever feeds it more is no person. */
const ROUNDS_MAX = 10_000;

/** Until the person leaves, or is gone. */
export async function clusterMenu(terminal: Terminal, ask: Ask, run: Run): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    for (const [index, { text }] of CHOICES.entries()) terminal.line(`${String(index + 1).padStart(3)}  ${text}`);
    terminal.line(`${LEAVE.padStart(3)}  Leave`);
    const typed = (await ask('Which'))?.trim();
    if (typed === undefined || typed === LEAVE) return;
    const choice = /^\d{1,3}$/.test(typed) ? CHOICES[Number(typed) - 1] : undefined;
    if (choice === undefined) {
      terminal.error(
        `${printable(JSON.stringify(typed))} is none of them: type a number from ${LEAVE} to ${CHOICES.length}`,
      );
      continue;
    }
    const words = await wordsOf(choice, ask);
    if (words === undefined) return;
    terminal.line(terminal.styled('cyan', `\n$ virtscale ${words.join(' ')}`));
    const status = await run(words);
    if (status !== 0) terminal.error(`(it ended with status ${status})`);
    terminal.line('');
  }
}

async function wordsOf({ questions, words }: Choice, ask: Ask): Promise<readonly string[] | undefined> {
  const answers: string[] = [];
  for (const { text, otherwise } of questions) {
    for (;;) {
      const typed = await ask(otherwise === undefined || otherwise === '' ? text : `${text} [${otherwise}]`);
      if (typed === undefined) return undefined;
      const answer = typed.trim() || otherwise;
      if (answer === undefined) continue;
      answers.push(answer);
      break;
    }
  }
  return words(answers);
}

function shown(name: string): readonly string[] {
  return name === '' ? ['cluster', 'list'] : ['cluster', 'show', name];
}
