// What HAProxy's answers say: the servers of a backend with their sessions, and why a command was not done. Pure.
// Columns are found by their names, for each version adds some. Not here: asking (runtime-socket).

import { Fault } from '../../../ports/fault.ts';

/** A server of a backend as HAProxy has it now. */
export interface HaproxyServer {
  readonly name: string;
  /** Absent while a host name is not resolved. */
  readonly address?: string;
  readonly port: number;
  /** Put into maintenance or draining by somebody; neither: it takes requests as far as its checks allow. */
  readonly isMaintained: boolean;
  readonly isDraining: boolean;
  /** 0–256. */
  readonly weight: number;
  /** It has a health check, which does not run. */
  readonly checkIsOff: boolean;
  /** Under way and queued. */
  readonly sessions: number;
}

/** HAProxy's own numbers (SRV_ADMF_*, CHK_ST_*), as `show servers state` prints them. */
const FORCED_MAINTENANCE = 0x01;
const FORCED_DRAIN = 0x08;
const CHECK_CONFIGURED = 0x02;
const CHECK_ENABLED = 0x04;

const STATES_HEAD = '# be_id ';
const STATS_HEAD = '# pxname,';

/** The line of commands whose answer `readServers` reads: both in one, so that both are of the same process. */
export function serversQuestion(backend: string): string {
  return `show servers state ${backend}; show stat ${backend} 4 -1`;
}

/** Throws `Fault('refused')` when there is no such backend, `Fault('unreachable')` for an answer that was cut off or is none. */
export function readServers(answer: string, backend: string): readonly HaproxyServer[] {
  const statsAt = answer.indexOf(STATS_HEAD);
  const statesAt = answer.indexOf(STATES_HEAD);
  if (statesAt < 0 || statsAt < statesAt) throw notServers(answer, backend);
  const sessions = new Map(
    rowsOf(answer.slice(statsAt), ',').map((row) => [
      row.get('svname'),
      count(row.get('scur')) + count(row.get('qcur')),
    ]),
  );
  return rowsOf(answer.slice(statesAt, statsAt), ' ').map((row) => {
    const name = row.get('srv_name') ?? '';
    const address = row.get('srv_addr') ?? '-';
    const admin = count(row.get('srv_admin_state'));
    const check = count(row.get('srv_check_state'));
    return {
      name,
      ...(address !== '-' && { address }),
      port: count(row.get('srv_port')),
      isMaintained: (admin & FORCED_MAINTENANCE) !== 0,
      isDraining: (admin & FORCED_DRAIN) !== 0,
      weight: count(row.get('srv_uweight')),
      checkIsOff: (check & CHECK_CONFIGURED) !== 0 && (check & CHECK_ENABLED) === 0,
      sessions: sessions.get(name) ?? 0,
    };
  });
}

/** Tables of HAProxy: a line of names behind `# `, then one line each. */
function rowsOf(table: string, separator: string): readonly ReadonlyMap<string, string>[] {
  const [head = '', ...lines] = table.split('\n');
  const names = head.slice(2).trim().split(separator);
  return lines
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const fields = line.trim().split(separator);
      return new Map(names.map((name, i) => [name, fields[i] ?? '']));
    });
}

/** What is no number counts as none: HAProxy leaves fields empty that do not apply. */
function count(text: string | undefined): number {
  const value = Number(text);
  return Number.isFinite(value) ? value : 0;
}

function notServers(answer: string, backend: string): Fault {
  const said = firstLine(answer);
  if (/can't find|no such/i.test(said)) return noBackend(backend, said);
  return (
    refusalOf(answer, backend) ??
    new Fault('unreachable', said === '' ? 'HAProxy hung up without an answer' : `HAProxy answered: ${said}`)
  );
}

function noBackend(backend: string, said: string): Fault {
  return new Fault('refused', `HAProxy has no backend "${backend}" (it said: ${said})`, {
    advice: `Write a section \`backend ${backend}\` into HAProxy's configuration, or correct \`backend\`.`,
  });
}

/** What trying again will not help, whatever the command was. Undefined for everything else. */
export function refusalOf(answer: string, backend: string): Fault | undefined {
  if (/no such backend/i.test(answer)) return noBackend(backend, firstLine(answer));
  if (/permission denied/i.test(answer)) {
    return new Fault('refused', `HAProxy does not let virtscale change servers: ${firstLine(answer)}`, {
      advice: 'Give the socket all rights: `stats socket PATH level admin`.',
    });
  }
  if (/dynamic load balancing/i.test(answer)) {
    return new Fault('refused', `backend "${backend}" takes no servers while HAProxy runs: ${firstLine(answer)}`, {
      advice: 'Its `balance` must be roundrobin, leastconn or random, or a hash with `hash-type consistent`.',
    });
  }
  const option = /'(\S+)' option is not accepted for dynamic|unknown keyword '(\S+)'/i.exec(answer);
  if (option !== null && option[1] !== 'check') {
    const said = firstLine(answer);
    return new Fault('refused', `HAProxy does not take what is said of each server of "${backend}": ${said}`, {
      advice: "Correct `server` of this balancer; which words it can have, `add server` in HAProxy's manual tells.",
    });
  }
  // 2.4 has servers at run time as an experiment, without health checks; before, there are none.
  if (/unknown command|experimental|not accepted for dynamic/i.test(answer)) {
    return new Fault('refused', `this HAProxy is too old to take new servers while it runs: ${firstLine(answer)}`, {
      advice: 'Use HAProxy 2.6 or later, or a balancer of type `file`, which reloads it.',
    });
  }
  return undefined;
}

export function firstLine(answer: string): string {
  return (answer.trim().split('\n')[0] ?? '').slice(0, 200);
}
