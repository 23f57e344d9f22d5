// The story of a virtual cluster, as its users type it: two of them, their machines, an MPI program, and what one does with machines.
// Not here: running commands (transcript), the daemon (cluster-demo).

import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Transcript, Typed } from './transcript.ts';

export interface Person {
  readonly name: string;
  readonly home: string;
}

/** One run of the program. */
export interface Timed {
  readonly nodes: number;
  readonly seconds: number;
}

export interface ClusterResult {
  readonly runs: readonly Timed[];
  /** As the program computed it. */
  readonly pi: number;
}

const SOURCE = join(import.meta.dirname, 'pi.c');
const PROGRAM = 'pi.c';
const NODES = 4;
const RANKS = [1, 2, 4];

export async function clusterStory(
  transcript: Transcript,
  { root, ann, bob }: { readonly root: Person; readonly ann: Person; readonly bob: Person },
  steps: number,
): Promise<ClusterResult> {
  await copyFile(SOURCE, join(ann.home, PROGRAM));
  const as =
    (person: Person) =>
    (line: string, more: Omit<Typed, 'words'> = {}, ...rest: readonly string[]) =>
      transcript.run(person, { words: [...line.split(' '), ...rest], ...more });
  const [typesAnn, typesBob] = [as(ann), as(bob)];

  transcript.say('Who runs the hosts makes himself known first; then two people sign up and in');
  await as(root)('user add root --role admin --password-stdin', { input: passwordOf(root) });
  for (const person of [ann, bob]) {
    const input = passwordOf(person);
    await as(person)(`user add ${person.name} --password-stdin`, { input });
    await as(person)(`login ${person.name} --password-stdin`, { input });
  }
  await typesAnn('whoami', { sees: /ann/ });

  transcript.say('A cluster of four nodes on two hosts');
  const each = '--image mpi --vcpus 1 --memory 256M --algorithm round-robin --ready agent';
  await typesAnn(`cluster create lab --nodes ${NODES} ${each}`, { sees: /lab-node4.* created/ });
  await untilTold(transcript, ann, NODES);
  await typesAnn('cluster show lab', { sees: /^node4 .*yes *$/m });
  await typesAnn('cluster exec lab -- hostname', { sees: /^node4 +node4$/m });
  await typesAnn('cluster exec lab --node node1 -- ssh node3 hostname', { sees: /node3$/m });

  transcript.say('Another user sees nothing of it');
  await typesBob('cluster list', { sees: /No clusters\./ });
  await typesBob('cluster show lab', { status: 2, sees: /there is no cluster/ });

  transcript.say('An MPI program on one, two and four nodes');
  const runs: Timed[] = [];
  let pi = Number.NaN;
  for (const nodes of RANKS) {
    const { out } = await typesAnn(`cluster run lab ${PROGRAM} --np ${nodes} --fetch pi.txt -- ${steps}`, {
      sees: new RegExp(`rank ${nodes - 1} of ${nodes} on node${nodes}`),
    });
    const match = /pi is ([\d.]+), wrong by \S+, in ([\d.]+) s/.exec(out);
    if (match === null) throw new Error('the program did not say what pi is');
    pi = Number(match[1]);
    runs.push({ nodes, seconds: Number(match[2]) });
  }

  transcript.say('All nodes are remembered at one moment, spoiled, and brought back');
  await typesAnn('cluster snapshot lab clean');
  await typesAnn('cluster exec lab --', {}, 'sh', '-c', 'rm /root/pi* && ls /root');
  await typesAnn('cluster revert lab clean --yes');
  await typesAnn('cluster exec lab -- ls /root', { sees: /^node4 +pi$/m });

  transcript.say('One gets a larger disk while it runs, another moves to the other host');
  await typesAnn('vms resize lab-node1 --disk 2G');
  await typesAnn('cluster exec lab --node node1 -- df -h /');
  await typesAnn('where lab-node4', { sees: /west/ });
  await typesAnn('snapshot delete lab-node4 clean --yes');
  await typesAnn('vms migrate lab-node4 --to east');
  await typesAnn('where lab-node4', { sees: /east/ });
  await typesAnn('cluster exec lab --node node1 -- ssh node4 hostname', { sees: /node4$/m });

  transcript.say('It goes as it came');
  await typesAnn('cluster delete lab --yes', { sees: /lab-node4.* deleted/ });
  await typesAnn('cluster list', { sees: /No clusters\./ });
  return { runs, pi };
}

/** Typed, never shown. */
function passwordOf({ name }: Person): string {
  return `the long password of ${name}`;
}

/** Nodes are told of each other within a second or two after they answer. */
async function untilTold(transcript: Transcript, person: Person, nodes: number): Promise<void> {
  for (let tries = 0; tries < 30; tries += 1) {
    const { out } = await transcript.quietly(person, ['cluster', 'show', 'lab', '--json']);
    const cluster = JSON.parse(out) as { readonly nodes: readonly { readonly missing?: string }[] };
    if (cluster.nodes.filter(({ missing }) => missing === undefined).length === nodes) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error('the nodes were not told of each other in time');
}
