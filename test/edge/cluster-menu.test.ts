// The menu of `virtscale cluster`: what is asked, which command each choice becomes, and that nobody is kept in it.

import { describe, expect, it } from 'vitest';
import { clusterMenu } from '../../src/edge/command-line/cluster-menu.ts';
import { Terminal } from '../../src/edge/command-line/terminal.ts';
import { Collected, liveFabric, person } from './command-runner.ts';

/** Somebody who types these lines, and then goes. */
async function typed(lines: readonly string[], status = 0) {
  const out = new Collected();
  const err = new Collected();
  const asked: string[] = [];
  const ran: (readonly string[])[] = [];
  const left = [...lines];
  await clusterMenu(
    new Terminal(out, err),
    async (question) => {
      asked.push(question);
      return left.shift();
    },
    async (words) => {
      ran.push(words);
      return status;
    },
  );
  return { out: out.text, err: err.text, asked, ran };
}

describe('the menu', () => {
  it('shows what can be done, and ends when asked to or when nobody is there', async () => {
    const { out, ran } = await typed(['0']);
    expect(out).toMatch(/^ +1 {2}Sign in$/m);
    expect(out).toMatch(/^ +11 {2}Run an MPI program$/m);
    expect(out).toMatch(/^ +0 {2}Leave$/m);
    expect(ran).toEqual([]);
    expect((await typed([])).ran).toEqual([]);
    expect((await typed(['4', 'lab'])).ran).toEqual([]);
  });

  it.each<[string, readonly string[], string]>([
    ['sign in', ['1', 'ann'], 'login ann'],
    ['sign up', ['2', 'ann'], 'user add ann'],
    ['all clusters', ['3', ''], 'cluster list'],
    ['one cluster', ['3', 'lab'], 'cluster show lab'],
    [
      'create, with what is offered',
      ['4', '', ' lab ', '4', '', '', '', '', ''],
      'cluster create lab --nodes 4 --image mpi --vcpus 1 --memory 256M',
    ],
    [
      'create, with all that may be said',
      ['4', 'lab', '4', 'debian', '2', '1G', '8G', 'round-robin'],
      'cluster create lab --nodes 4 --image debian --vcpus 2 --memory 1G --disk 8G --algorithm round-robin',
    ],
    ['add', ['5', 'lab', ''], 'cluster add lab --nodes 1'],
    ['remove', ['6', 'lab', 'node2'], 'cluster remove lab node2'],
    ['delete', ['7', 'lab'], 'cluster delete lab'],
    ['disk', ['8', 'lab-node1', '4G'], 'vms resize lab-node1 --disk 4G'],
    ['memory', ['9', 'lab-node1', '512M'], 'vms resize lab-node1 --memory 512M'],
    ['vCPUs', ['10', 'lab-node1', '2'], 'vms resize lab-node1 --vcpus 2'],
    ['MPI', ['11', 'lab', 'pi.c', ''], 'cluster run lab pi.c'],
    ['MPI with ranks', ['11', 'lab', 'pi.c', '3'], 'cluster run lab pi.c --np 3'],
    ['where', ['12', '10.64.0.1'], 'where 10.64.0.1'],
    ['snapshot', ['13', 'lab', ''], 'cluster snapshot lab'],
    ['revert', ['14', 'lab', 'clean'], 'cluster revert lab clean'],
    ['migrate', ['15', 'lab-node4', 'east'], 'vms migrate lab-node4 --to east'],
    ['sign out', ['16'], 'logout'],
  ])('%s', async (_, lines, command) => {
    const { out, ran } = await typed([...lines, '0']);
    expect(ran.map((words) => words.join(' '))).toEqual([command]);
    expect(out).toContain(`$ virtscale ${command}\n`);
  });

  it('says what it does not understand, and how a command ended', async () => {
    const { err, ran } = await typed(['17', 'x', '-1', '7', 'lab', '0'], 2);
    expect(err.match(/is none of them: type a number from 0 to 16/g)).toHaveLength(3);
    expect(err).toContain('(it ended with status 2)');
    expect(ran).toHaveLength(1);
  });

  it('is for people at a terminal: others are told the clusters', async () => {
    const { virtscale } = await liveFabric();
    expect(await virtscale('cluster')).toMatchObject({ status: 0, out: 'No clusters.\n' });
    const stdout = Object.assign(new Collected(), { isTTY: true });
    const ran = await virtscale('cluster', { stdin: person('0'), stdout });
    expect(ran.status).toBe(0);
    expect(stdout.text).toContain('Run an MPI program');
  });
});
