/**
 * Connection, authentication, features and the physical host: rows of the procedure table.
 * Only names, numbers and layouts; how a call is made is not known here.
 */
import { array, charArray, int, uhyper, uint } from '../bytes/xdr.ts';
import { bytes, limits, nodeStat, optionalText, text, typedParams } from '../structs.ts';
import { call, fast } from './procedure.ts';

export const connectionProcedures = {
  // Connection, auth, features, host
  AUTH_LIST: fast(66, {}, { types: array(int, 20) }),
  AUTH_POLKIT: fast(70, {}, { complete: int }),
  AUTH_SASL_INIT: fast(67, {}, { mechlist: text }),
  AUTH_SASL_START: fast(
    68,
    { mech: text, nil: int, data: array(int, limits.otherItems) },
    { complete: int, nil: int, data: array(int, limits.otherItems) },
  ),
  AUTH_SASL_STEP: fast(
    69,
    { nil: int, data: array(int, limits.otherItems) },
    { complete: int, nil: int, data: array(int, limits.otherItems) },
  ),
  CONNECT_SUPPORTS_FEATURE: fast(60, { feature: int }, { supported: int }),
  CONNECT_OPEN: fast(1, { name: optionalText, flags: uint }, {}),
  CONNECT_CLOSE: fast(2, {}, {}),
  CONNECT_GET_URI: fast(110, {}, { uri: text }),
  CONNECT_GET_TYPE: fast(3, {}, { type: text }),
  CONNECT_GET_VERSION: fast(4, {}, { hv_ver: uhyper }),
  CONNECT_GET_LIB_VERSION: fast(157, {}, { lib_ver: uhyper }),
  CONNECT_GET_HOSTNAME: fast(59, {}, { hostname: text }),
  CONNECT_IS_SECURE: fast(149, {}, { secure: int }),
  CONNECT_GET_SYSINFO: fast(203, { flags: uint }, { sysinfo: text }),
  CONNECT_GET_CAPABILITIES: call(7, {}, { capabilities: text }),
  CONNECT_GET_DOMAIN_CAPABILITIES: call(
    342,
    { emulatorbin: optionalText, arch: optionalText, machine: optionalText, virttype: optionalText, flags: uint },
    { capabilities: text },
  ),
  CONNECT_GET_STORAGE_POOL_CAPABILITIES: call(403, { flags: uint }, { capabilities: text }),
  CONNECT_GET_MAX_VCPUS: fast(5, { type: optionalText }, { max_vcpus: int }),
  CONNECT_GET_CPU_MODEL_NAMES: call(
    312,
    { arch: text, need_results: int, flags: uint },
    { models: array(text, limits.otherItems), ret: int },
  ),
  CONNECT_COMPARE_HYPERVISOR_CPU: call(
    393,
    {
      emulator: optionalText,
      arch: optionalText,
      machine: optionalText,
      virttype: optionalText,
      xmlCPU: text,
      flags: uint,
    },
    { result: int },
  ),
  CONNECT_BASELINE_HYPERVISOR_CPU: call(
    394,
    {
      emulator: optionalText,
      arch: optionalText,
      machine: optionalText,
      virttype: optionalText,
      xmlCPUs: array(text, limits.otherItems),
      flags: uint,
    },
    { cpu: text },
  ),
  NODE_GET_INFO: fast(
    6,
    {},
    { model: charArray(32), memory: uhyper, cpus: int, mhz: int, nodes: int, sockets: int, cores: int, threads: int },
  ),
  NODE_GET_CPU_STATS: fast(
    227,
    { cpuNum: int, nparams: int, flags: uint },
    { params: array(nodeStat, 16), nparams: int },
  ),
  NODE_GET_MEMORY_STATS: fast(
    228,
    { nparams: int, cellNum: int, flags: uint },
    { params: array(nodeStat, 16), nparams: int },
  ),
  NODE_GET_FREE_MEMORY: fast(102, {}, { freeMem: uhyper }),
  NODE_GET_CELLS_FREE_MEMORY: fast(101, { startCell: int, maxcells: int }, { cells: array(uhyper, limits.otherItems) }),
  NODE_GET_FREE_PAGES: fast(
    340,
    { pages: array(uint, limits.otherItems), startCell: int, cellCount: uint, flags: uint },
    { counts: array(uhyper, limits.otherItems) },
  ),
  NODE_GET_CPU_MAP: call(
    293,
    { need_map: int, need_online: int, flags: uint },
    { cpumap: bytes, online: uint, ret: int },
  ),
  NODE_SUSPEND_FOR_DURATION: call(250, { target: uint, duration: uhyper, flags: uint }, {}),
  NODE_GET_MEMORY_PARAMETERS: call(289, { nparams: int, flags: uint }, { params: typedParams, nparams: int }),
  NODE_SET_MEMORY_PARAMETERS: call(288, { params: typedParams, flags: uint }, {}),
  CONNECT_REGISTER_CLOSE_CALLBACK: fast(360, {}, {}),
  CONNECT_UNREGISTER_CLOSE_CALLBACK: fast(361, {}, {}),
  CONNECT_SET_IDENTITY: call(419, { params: typedParams, flags: uint }, {}),
} as const;
