// Tells each node of a cluster who the others are, again whenever that has changed, by its guest agent; nodes in service only.
// Not here: what it is told (core/cluster-setup).

import type { Cluster } from '../core/cluster.ts';
import { setupScript } from '../core/cluster-setup.ts';
import type { VmRecord } from '../core/model.ts';
import { isFault } from '../ports/fault.ts';
import type { FabricParts } from './fabric-parts.ts';

/** What became of telling a node. */
interface Told {
  /** Of what it was told last, when that succeeded. */
  known?: string;
  running: boolean;
  /** Why it is not told, in words for people. */
  problem?: string;
  againAtMs: number;
}

const SETUP_MS = 20_000;
/** A guest whose agent is not there yet. */
const AGAIN_SOON_MS = 1_000;
/** A guest that cannot do it. */
const AGAIN_LATER_MS = 60_000;
const AT_ONCE_MAX = 8;
const SAID_MAX = 500;

export class ClusterSetup {
  readonly #parts: FabricParts;
  /** By VM uuid. Lost with the daemon: they are told again then. */
  readonly #told = new Map<string, Told>();

  constructor(parts: FabricParts) {
    this.#parts = parts;
  }

  /** Why a node does not know the others yet, in words for people; undefined when it does. */
  missing(record: VmRecord): string | undefined {
    if (record.phase !== 'in-service') return 'it is not in service';
    const told = this.#told.get(record.uuid);
    if (told?.known !== undefined && told.problem === undefined) return undefined;
    return told?.problem ?? 'it is being told';
  }

  /** Begins what is due; returns at once. `nodes`: of each cluster, by number. */
  pass(clusters: readonly { readonly cluster: Cluster; readonly nodes: readonly VmRecord[] }[]): void {
    const { clock } = this.#parts;
    const nowMs = clock.nowMs();
    const present = new Set<string>();
    let running = [...this.#told.values()].filter((told) => told.running).length;
    for (const { cluster, nodes } of clusters) {
      const known = nodes.flatMap(({ flavor, networks, node, phase }) => {
        const [card] = networks ?? [];
        if (card === undefined || node === undefined || phase === 'removing') return [];
        return [{ number: node.number, address: card.address, vcpus: flavor?.vcpus ?? 1 }];
      });
      const all = JSON.stringify(known);
      for (const record of nodes) {
        present.add(record.uuid);
        const { changedAtMs, node, phase } = record;
        if (phase !== 'in-service' || node === undefined) continue;
        // One that went back to a snapshot, or moved, may have forgotten: its record has changed then.
        const knows = `${changedAtMs} ${all}`;
        const told = this.#told.get(record.uuid) ?? { running: false, againAtMs: 0 };
        this.#told.set(record.uuid, told);
        if (told.running || running >= AT_ONCE_MAX) continue;
        if (told.known === knows || nowMs < told.againAtMs) continue;
        running += 1;
        void this.#tell(record, setupScript(cluster, node.number, known), knows, told);
      }
    }
    for (const uuid of this.#told.keys()) if (!present.has(uuid)) this.#told.delete(uuid);
  }

  async #tell(record: VmRecord, script: string, knows: string, told: Told): Promise<void> {
    const { clock, hosts, log, signal } = this.#parts;
    const hypervisor = hosts.get(record.host)?.hypervisor;
    if (hypervisor === undefined) return;
    told.running = true;
    let said = '';
    const decoder = new TextDecoder();
    try {
      const options = {
        input: new TextEncoder().encode(script),
        timeoutMs: SETUP_MS,
        onOutput: ({ bytes }: { readonly bytes: Uint8Array }) => {
          said = (said + decoder.decode(bytes, { stream: true })).slice(-SAID_MAX);
        },
      };
      const result = await hypervisor.guest.exec(record.uuid, ['sh'], options, signal);
      const failed = 'signal' in result || result.exitCode !== 0;
      told.againAtMs = failed ? clock.nowMs() + AGAIN_LATER_MS : 0;
      if (failed) told.problem = `its guest could not take it: ${said.trim() || JSON.stringify(result)}`;
      else {
        told.known = knows;
        delete told.problem;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isFault(error)) log.error({ err: error, vm: record.name }, 'a bug: a node could not be told of the others');
      const soon = isFault(error, 'busy', 'unreachable', 'timed-out', 'conflict');
      told.againAtMs = clock.nowMs() + (soon ? AGAIN_SOON_MS : AGAIN_LATER_MS);
      told.problem = error instanceof Error ? error.message : String(error);
    } finally {
      told.running = false;
    }
  }
}
