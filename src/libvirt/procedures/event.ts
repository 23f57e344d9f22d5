/**
 * Event registration calls and the messages the daemon then sends.
 * Only names, numbers and layouts; how a call is made is not known here.
 */
import { array, hyper, int, optional, struct, uhyper, uint } from '../bytes/xdr.ts';
import {
  domain,
  graphicsAddress,
  graphicsIdentity,
  limits,
  network,
  nodeDevice,
  optionalText,
  secret,
  storagePool,
  text,
  typedParam,
  typedParams,
} from '../structs.ts';
import { fast, message, Program } from './procedure.ts';

export const eventProcedures = {
  // Event (de)registration
  CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: fast(316, { eventID: int, dom: optional(domain) }, { callbackID: int }),
  CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: fast(317, { callbackID: int }, {}),
  CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY: fast(
    368,
    { eventID: int, pool: optional(storagePool) },
    { callbackID: int },
  ),
  CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY: fast(369, { callbackID: int }, {}),
  CONNECT_NETWORK_EVENT_REGISTER_ANY: fast(313, { eventID: int, net: optional(network) }, { callbackID: int }),
  CONNECT_NETWORK_EVENT_DEREGISTER_ANY: fast(314, { callbackID: int }, {}),
  CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY: fast(374, { eventID: int, dev: optional(nodeDevice) }, { callbackID: int }),
  CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY: fast(375, { callbackID: int }, {}),
  CONNECT_SECRET_EVENT_REGISTER_ANY: fast(380, { eventID: int, secret: optional(secret) }, { callbackID: int }),
  CONNECT_SECRET_EVENT_DEREGISTER_ANY: fast(381, { callbackID: int }, {}),
} as const;

/** Messages of the remote and QEMU programs. */
export const messages = {
  CONNECT_EVENT_CONNECTION_CLOSED: message(362, { reason: int }),
  DOMAIN_EVENT_CALLBACK_LIFECYCLE: message(318, {
    callbackID: int,
    msg: struct({ dom: domain, event: int, detail: int }),
  }),
  DOMAIN_EVENT_CALLBACK_REBOOT: message(319, { callbackID: int, msg: struct({ dom: domain }) }),
  DOMAIN_EVENT_CALLBACK_RTC_CHANGE: message(320, { callbackID: int, msg: struct({ dom: domain, offset: hyper }) }),
  DOMAIN_EVENT_CALLBACK_WATCHDOG: message(321, { callbackID: int, msg: struct({ dom: domain, action: int }) }),
  DOMAIN_EVENT_CALLBACK_IO_ERROR: message(322, {
    callbackID: int,
    msg: struct({ dom: domain, srcPath: text, devAlias: text, action: int }),
  }),
  DOMAIN_EVENT_CALLBACK_IO_ERROR_REASON: message(324, {
    callbackID: int,
    msg: struct({ dom: domain, srcPath: text, devAlias: text, action: int, reason: text }),
  }),
  DOMAIN_EVENT_CALLBACK_GRAPHICS: message(323, {
    callbackID: int,
    msg: struct({
      dom: domain,
      phase: int,
      local: graphicsAddress,
      remote: graphicsAddress,
      authScheme: text,
      subject: array(graphicsIdentity, 20),
    }),
  }),
  DOMAIN_EVENT_CALLBACK_CONTROL_ERROR: message(325, { callbackID: int, msg: struct({ dom: domain }) }),
  DOMAIN_EVENT_CALLBACK_BLOCK_JOB: message(326, {
    callbackID: int,
    msg: struct({ dom: domain, path: text, type: int, status: int }),
  }),
  DOMAIN_EVENT_BLOCK_JOB_2: message(339, { callbackID: int, dom: domain, dst: text, type: int, status: int }),
  DOMAIN_EVENT_CALLBACK_DISK_CHANGE: message(327, {
    callbackID: int,
    msg: struct({ dom: domain, oldSrcPath: optionalText, newSrcPath: optionalText, devAlias: text, reason: int }),
  }),
  DOMAIN_EVENT_CALLBACK_TRAY_CHANGE: message(328, {
    callbackID: int,
    msg: struct({ dom: domain, devAlias: text, reason: int }),
  }),
  DOMAIN_EVENT_CALLBACK_PMWAKEUP: message(329, { callbackID: int, reason: int, msg: struct({ dom: domain }) }),
  DOMAIN_EVENT_CALLBACK_PMSUSPEND: message(330, { callbackID: int, reason: int, msg: struct({ dom: domain }) }),
  DOMAIN_EVENT_CALLBACK_PMSUSPEND_DISK: message(332, { callbackID: int, reason: int, msg: struct({ dom: domain }) }),
  DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE: message(331, { callbackID: int, msg: struct({ dom: domain, actual: uhyper }) }),
  DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED: message(333, { callbackID: int, msg: struct({ dom: domain, devAlias: text }) }),
  DOMAIN_EVENT_CALLBACK_TUNABLE: message(346, { callbackID: int, dom: domain, params: typedParams }),
  DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE: message(348, { callbackID: int, dom: domain, state: int, reason: int }),
  DOMAIN_EVENT_CALLBACK_DEVICE_ADDED: message(354, { callbackID: int, dom: domain, devAlias: text }),
  DOMAIN_EVENT_CALLBACK_MIGRATION_ITERATION: message(359, { callbackID: int, dom: domain, iteration: int }),
  DOMAIN_EVENT_CALLBACK_JOB_COMPLETED: message(363, {
    callbackID: int,
    dom: domain,
    params: array(typedParam, limits.jobStatsParams),
  }),
  DOMAIN_EVENT_CALLBACK_DEVICE_REMOVAL_FAILED: message(367, { callbackID: int, dom: domain, devAlias: text }),
  DOMAIN_EVENT_CALLBACK_METADATA_CHANGE: message(379, { callbackID: int, dom: domain, type: int, nsuri: optionalText }),
  DOMAIN_EVENT_BLOCK_THRESHOLD: message(385, {
    callbackID: int,
    dom: domain,
    dev: text,
    path: optionalText,
    threshold: uhyper,
    excess: uhyper,
  }),
  DOMAIN_EVENT_MEMORY_FAILURE: message(423, { callbackID: int, dom: domain, recipient: int, action: int, flags: uint }),
  DOMAIN_EVENT_MEMORY_DEVICE_SIZE_CHANGE: message(438, { callbackID: int, dom: domain, alias: text, size: uhyper }),
  DOMAIN_EVENT_NIC_MAC_CHANGE: message(453, { callbackID: int, dom: domain, alias: text, oldMAC: text, newMAC: text }),
  STORAGE_POOL_EVENT_LIFECYCLE: message(370, { callbackID: int, pool: storagePool, event: int, detail: int }),
  STORAGE_POOL_EVENT_REFRESH: message(373, { callbackID: int, pool: storagePool }),
  NETWORK_EVENT_LIFECYCLE: message(315, { callbackID: int, net: network, event: int, detail: int }),
  NETWORK_EVENT_CALLBACK_METADATA_CHANGE: message(446, {
    callbackID: int,
    net: network,
    type: int,
    nsuri: optionalText,
  }),
  NODE_DEVICE_EVENT_LIFECYCLE: message(376, { callbackID: int, dev: nodeDevice, event: int, detail: int }),
  NODE_DEVICE_EVENT_UPDATE: message(377, { callbackID: int, dev: nodeDevice }),
  SECRET_EVENT_LIFECYCLE: message(382, { callbackID: int, secret, event: int, detail: int }),
  SECRET_EVENT_VALUE_CHANGED: message(383, { callbackID: int, secret }),
  DOMAIN_MONITOR_EVENT: message(
    6,
    { callbackID: int, dom: domain, event: text, seconds: hyper, micros: uint, details: optionalText },
    Program.qemu,
  ),
} as const;
