/**
 * The QEMU program: monitor and guest agent pass-through, rows of the procedure table.
 * Only names, numbers and layouts; how a call is made is not known here.
 */
import { int, optional, uint } from '../bytes/xdr.ts';
import { domain, optionalText, text } from '../structs.ts';
import { qemuCall } from './procedure.ts';

export const qemuProcedures = {
  DOMAIN_MONITOR_COMMAND: qemuCall(1, { dom: domain, cmd: text, flags: uint }, { result: text }),
  DOMAIN_ATTACH: qemuCall(2, { pid: uint, flags: uint }, { dom: domain }),
  DOMAIN_AGENT_COMMAND: qemuCall(3, { dom: domain, cmd: text, timeout: int, flags: uint }, { result: optionalText }),
  CONNECT_DOMAIN_MONITOR_EVENT_REGISTER: qemuCall(
    4,
    { dom: optional(domain), event: optionalText, flags: uint },
    { callbackID: int },
  ),
  CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER: qemuCall(5, { callbackID: int }, {}),
} as const;
