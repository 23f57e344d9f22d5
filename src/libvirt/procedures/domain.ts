/**
 * Domains, from lookup to undefine, saving, guest agent: rows of the procedure table.
 * Only names, numbers and layouts; how a call is made is not known here.
 */
import { array, hyper, int, uhyper, uint } from '../bytes/xdr.ts';
import { domain, domainInterface, fsInfo, limits, optionalText, text, typedParams, uuid } from '../structs.ts';
import { call, fast, streamCall } from './procedure.ts';

export const domainProcedures = {
  // Domains: lookup and listing
  CONNECT_LIST_ALL_DOMAINS: fast(
    273,
    { need_results: int, flags: uint },
    { domains: array(domain, limits.listItems), ret: uint },
  ),
  DOMAIN_LOOKUP_BY_ID: fast(22, { id: int }, { dom: domain }),
  DOMAIN_LOOKUP_BY_NAME: fast(23, { name: text }, { dom: domain }),
  DOMAIN_LOOKUP_BY_UUID: fast(24, { uuid }, { dom: domain }),
  DOMAIN_GET_STATE: fast(212, { dom: domain, flags: uint }, { state: int, reason: int }),
  DOMAIN_GET_INFO: call(
    16,
    { dom: domain },
    { state: uint, maxMem: uhyper, memory: uhyper, nrVirtCpu: uint, cpuTime: uhyper },
  ),
  DOMAIN_IS_ACTIVE: fast(150, { dom: domain }, { active: int }),
  DOMAIN_IS_PERSISTENT: fast(151, { dom: domain }, { persistent: int }),
  DOMAIN_IS_UPDATED: fast(202, { dom: domain }, { updated: int }),
  DOMAIN_GET_CONTROL_INFO: fast(229, { dom: domain, flags: uint }, { state: uint, details: uint, stateTime: uhyper }),
  DOMAIN_GET_XML_DESC: call(14, { dom: domain, flags: uint }, { xml: text }),
  // Domains: define / create / lifecycle / undefine
  DOMAIN_DEFINE_XML_FLAGS: fast(350, { xml: text, flags: uint }, { dom: domain }),
  DOMAIN_DEFINE_XML: fast(11, { xml: text }, { dom: domain }),
  DOMAIN_CREATE_XML: call(10, { xml_desc: text, flags: uint }, { dom: domain }),
  DOMAIN_CREATE: call(9, { dom: domain }, {}),
  DOMAIN_CREATE_WITH_FLAGS: call(196, { dom: domain, flags: uint }, { dom: domain }),
  DOMAIN_SUSPEND: call(34, { dom: domain }, {}),
  DOMAIN_RESUME: call(28, { dom: domain }, {}),
  DOMAIN_SHUTDOWN: call(33, { dom: domain }, {}),
  DOMAIN_SHUTDOWN_FLAGS: call(258, { dom: domain, flags: uint }, {}),
  DOMAIN_REBOOT: call(27, { dom: domain, flags: uint }, {}),
  DOMAIN_RESET: call(245, { dom: domain, flags: uint }, {}),
  DOMAIN_INJECT_NMI: call(210, { dom: domain, flags: uint }, {}),
  DOMAIN_PM_SUSPEND_FOR_DURATION: call(261, { dom: domain, target: uint, duration: uhyper, flags: uint }, {}),
  DOMAIN_PM_WAKEUP: call(267, { dom: domain, flags: uint }, {}),
  DOMAIN_DESTROY: fast(12, { dom: domain }, {}),
  DOMAIN_DESTROY_FLAGS: fast(234, { dom: domain, flags: uint }, {}),
  DOMAIN_UNDEFINE: fast(35, { dom: domain }, {}),
  DOMAIN_UNDEFINE_FLAGS: fast(231, { dom: domain, flags: uint }, {}),
  DOMAIN_RENAME: call(358, { dom: domain, new_name: optionalText, flags: uint }, { retcode: int }),
  DOMAIN_GET_AUTOSTART: fast(15, { dom: domain }, { autostart: int }),
  DOMAIN_SET_AUTOSTART: fast(29, { dom: domain, autostart: int }, {}),
  DOMAIN_GET_AUTOSTART_ONCE: fast(449, { dom: domain }, { autostart: int }),
  DOMAIN_SET_AUTOSTART_ONCE: fast(450, { dom: domain, autostart: int }, {}),
  DOMAIN_SET_LIFECYCLE_ACTION: call(390, { dom: domain, type: uint, action: uint, flags: uint }, {}),
  // Domains: save / restore / managed save / dump
  DOMAIN_SAVE: call(55, { dom: domain, to: text }, {}),
  DOMAIN_SAVE_FLAGS: call(232, { dom: domain, to: text, dxml: optionalText, flags: uint }, {}),
  DOMAIN_SAVE_PARAMS: call(440, { dom: domain, params: typedParams, flags: uint }, {}),
  DOMAIN_RESTORE: call(54, { from: text }, {}),
  DOMAIN_RESTORE_FLAGS: call(233, { from: text, dxml: optionalText, flags: uint }, {}),
  DOMAIN_RESTORE_PARAMS: call(441, { params: typedParams, flags: uint }, {}),
  DOMAIN_SAVE_IMAGE_GET_XML_DESC: fast(235, { file: text, flags: uint }, { xml: text }),
  DOMAIN_SAVE_IMAGE_DEFINE_XML: fast(236, { file: text, dxml: text, flags: uint }, {}),
  DOMAIN_MANAGED_SAVE: call(182, { dom: domain, flags: uint }, {}),
  DOMAIN_HAS_MANAGED_SAVE_IMAGE: call(183, { dom: domain, flags: uint }, { result: int }),
  DOMAIN_MANAGED_SAVE_REMOVE: call(184, { dom: domain, flags: uint }, {}),
  DOMAIN_MANAGED_SAVE_GET_XML_DESC: call(388, { dom: domain, flags: uint }, { xml: text }),
  DOMAIN_CORE_DUMP: call(53, { dom: domain, to: text, flags: uint }, {}),
  DOMAIN_CORE_DUMP_WITH_FORMAT: call(334, { dom: domain, to: text, dumpformat: uint, flags: uint }, {}),
  DOMAIN_SCREENSHOT: streamCall(211, { dom: domain, screen: uint, flags: uint }, { mime: optionalText }, 'down'),
  // Domains: metadata, messages, agent
  DOMAIN_SET_METADATA: call(
    264,
    { dom: domain, type: int, metadata: optionalText, key: optionalText, uri: optionalText, flags: uint },
    {},
  ),
  DOMAIN_GET_METADATA: call(265, { dom: domain, type: int, uri: optionalText, flags: uint }, { metadata: text }),
  DOMAIN_GET_MESSAGES: call(426, { dom: domain, flags: uint }, { msgs: array(text, limits.otherItems) }),
  DOMAIN_INTERFACE_ADDRESSES: call(
    353,
    { dom: domain, source: uint, flags: uint },
    { ifaces: array(domainInterface, limits.interfaces) },
  ),
  DOMAIN_GET_GUEST_INFO: call(418, { dom: domain, types: uint, flags: uint }, { params: typedParams }),
  DOMAIN_GET_HOSTNAME: call(277, { dom: domain, flags: uint }, { hostname: text }),
  DOMAIN_AGENT_SET_RESPONSE_TIMEOUT: call(420, { dom: domain, timeout: int, flags: uint }, { result: int }),
  DOMAIN_GET_TIME: call(337, { dom: domain, flags: uint }, { seconds: hyper, nseconds: uint }),
  DOMAIN_SET_TIME: call(338, { dom: domain, seconds: hyper, nseconds: uint, flags: uint }, {}),
  DOMAIN_FSFREEZE: call(
    335,
    { dom: domain, mountpoints: array(text, limits.otherItems), flags: uint },
    { filesystems: int },
  ),
  DOMAIN_FSTHAW: call(
    336,
    { dom: domain, mountpoints: array(text, limits.otherItems), flags: uint },
    { filesystems: int },
  ),
  DOMAIN_FSTRIM: call(294, { dom: domain, mountPoint: optionalText, minimum: uhyper, flags: uint }, {}),
  DOMAIN_GET_FSINFO: call(349, { dom: domain, flags: uint }, { info: array(fsInfo, 256), ret: uint }),
  DOMAIN_SET_USER_PASSWORD: call(357, { dom: domain, user: optionalText, password: optionalText, flags: uint }, {}),
  DOMAIN_AUTHORIZED_SSH_KEYS_GET: call(
    424,
    { dom: domain, user: text, flags: uint },
    { keys: array(text, limits.otherItems) },
  ),
  DOMAIN_AUTHORIZED_SSH_KEYS_SET: call(
    425,
    { dom: domain, user: text, keys: array(text, limits.otherItems), flags: uint },
    {},
  ),
  DOMAIN_GET_GUEST_VCPUS: call(371, { dom: domain, flags: uint }, { params: typedParams }),
  DOMAIN_SET_GUEST_VCPUS: call(372, { dom: domain, cpumap: text, state: int, flags: uint }, {}),
  // Console / graphics / channels
  DOMAIN_OPEN_CONSOLE: streamCall(201, { dom: domain, dev_name: optionalText, flags: uint }, {}, 'both'),
  DOMAIN_OPEN_CHANNEL: streamCall(296, { dom: domain, name: optionalText, flags: uint }, {}, 'both'),
  DOMAIN_GRAPHICS_RELOAD: call(448, { dom: domain, type: uint, flags: uint }, {}),
} as const;
