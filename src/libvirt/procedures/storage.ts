/**
 * Storage pools and volumes: rows of the procedure table.
 * Only names, numbers and layouts; how a call is made is not known here.
 */
import { array, int, uhyper, uint } from '../bytes/xdr.ts';
import { limits, storagePool, storageVol, text, uuid } from '../structs.ts';
import { call, fast, streamCall } from './procedure.ts';

export const storageProcedures = {
  // Storage pools
  CONNECT_LIST_ALL_STORAGE_POOLS: fast(
    281,
    { need_results: int, flags: uint },
    { pools: array(storagePool, limits.listItems), ret: uint },
  ),
  STORAGE_POOL_LOOKUP_BY_NAME: fast(84, { name: text }, { pool: storagePool }),
  STORAGE_POOL_LOOKUP_BY_UUID: fast(85, { uuid }, { pool: storagePool }),
  STORAGE_POOL_LOOKUP_BY_TARGET_PATH: fast(391, { path: text }, { pool: storagePool }),
  STORAGE_POOL_LOOKUP_BY_VOLUME: fast(86, { vol: storageVol }, { pool: storagePool }),
  STORAGE_POOL_CREATE_XML: call(76, { xml: text, flags: uint }, { pool: storagePool }),
  STORAGE_POOL_DEFINE_XML: fast(77, { xml: text, flags: uint }, { pool: storagePool }),
  STORAGE_POOL_CREATE: call(78, { pool: storagePool, flags: uint }, {}),
  STORAGE_POOL_BUILD: call(79, { pool: storagePool, flags: uint }, {}),
  STORAGE_POOL_DESTROY: fast(80, { pool: storagePool }, {}),
  STORAGE_POOL_DELETE: call(81, { pool: storagePool, flags: uint }, {}),
  STORAGE_POOL_UNDEFINE: fast(82, { pool: storagePool }, {}),
  STORAGE_POOL_REFRESH: call(83, { pool: storagePool, flags: uint }, {}),
  STORAGE_POOL_GET_INFO: fast(
    87,
    { pool: storagePool },
    { state: uint, capacity: uhyper, allocation: uhyper, available: uhyper },
  ),
  STORAGE_POOL_GET_XML_DESC: fast(88, { pool: storagePool, flags: uint }, { xml: text }),
  STORAGE_POOL_GET_AUTOSTART: fast(89, { pool: storagePool }, { autostart: int }),
  STORAGE_POOL_SET_AUTOSTART: fast(90, { pool: storagePool, autostart: int }, {}),
  STORAGE_POOL_IS_ACTIVE: fast(154, { pool: storagePool }, { active: int }),
  STORAGE_POOL_IS_PERSISTENT: fast(155, { pool: storagePool }, { persistent: int }),
  // Storage volumes
  STORAGE_POOL_LIST_ALL_VOLUMES: fast(
    282,
    { pool: storagePool, need_results: int, flags: uint },
    { vols: array(storageVol, limits.listItems), ret: uint },
  ),
  STORAGE_VOL_LOOKUP_BY_NAME: fast(95, { pool: storagePool, name: text }, { vol: storageVol }),
  STORAGE_VOL_LOOKUP_BY_KEY: fast(96, { key: text }, { vol: storageVol }),
  STORAGE_VOL_LOOKUP_BY_PATH: fast(97, { path: text }, { vol: storageVol }),
  STORAGE_VOL_CREATE_XML: call(93, { pool: storagePool, xml: text, flags: uint }, { vol: storageVol }),
  STORAGE_VOL_CREATE_XML_FROM: call(
    125,
    { pool: storagePool, xml: text, clonevol: storageVol, flags: uint },
    { vol: storageVol },
  ),
  STORAGE_VOL_DELETE: call(94, { vol: storageVol, flags: uint }, {}),
  STORAGE_VOL_WIPE: call(165, { vol: storageVol, flags: uint }, {}),
  STORAGE_VOL_WIPE_PATTERN: call(259, { vol: storageVol, algorithm: uint, flags: uint }, {}),
  STORAGE_VOL_RESIZE: call(260, { vol: storageVol, capacity: uhyper, flags: uint }, {}),
  STORAGE_VOL_GET_INFO: fast(98, { vol: storageVol }, { type: int, capacity: uhyper, allocation: uhyper }),
  STORAGE_VOL_GET_INFO_FLAGS: fast(
    378,
    { vol: storageVol, flags: uint },
    { type: int, capacity: uhyper, allocation: uhyper },
  ),
  STORAGE_VOL_GET_XML_DESC: fast(99, { vol: storageVol, flags: uint }, { xml: text }),
  STORAGE_VOL_GET_PATH: fast(100, { vol: storageVol }, { name: text }),
  STORAGE_VOL_UPLOAD: streamCall(208, { vol: storageVol, offset: uhyper, length: uhyper, flags: uint }, {}, 'up'),
  STORAGE_VOL_DOWNLOAD: streamCall(209, { vol: storageVol, offset: uhyper, length: uhyper, flags: uint }, {}, 'down'),
} as const;
