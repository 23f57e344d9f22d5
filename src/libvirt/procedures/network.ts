/**
 * Virtual networks and secrets: rows of the procedure table.
 * Only names, numbers and layouts; how a call is made is not known here.
 */
import { array, int, uint } from '../bytes/xdr.ts';
import { bytes, dhcpLease, limits, network, optionalText, secret, text, uuid } from '../structs.ts';
import { call, fast } from './procedure.ts';

export const networkProcedures = {
  // Networks
  CONNECT_LIST_ALL_NETWORKS: fast(
    283,
    { need_results: int, flags: uint },
    { nets: array(network, limits.listItems), ret: uint },
  ),
  NETWORK_LOOKUP_BY_NAME: fast(46, { name: text }, { net: network }),
  NETWORK_LOOKUP_BY_UUID: fast(47, { uuid }, { net: network }),
  NETWORK_DEFINE_XML_FLAGS: fast(432, { xml: text, flags: uint }, { net: network }),
  NETWORK_DEFINE_XML: fast(41, { xml: text }, { net: network }),
  NETWORK_CREATE_XML: call(40, { xml: text }, { net: network }),
  NETWORK_CREATE_XML_FLAGS: fast(437, { xml: text, flags: uint }, { net: network }),
  NETWORK_CREATE: call(39, { net: network }, {}),
  NETWORK_DESTROY: fast(42, { net: network }, {}),
  NETWORK_UNDEFINE: fast(49, { net: network }, {}),
  NETWORK_GET_XML_DESC: fast(43, { net: network, flags: uint }, { xml: text }),
  NETWORK_GET_AUTOSTART: fast(44, { net: network }, { autostart: int }),
  NETWORK_GET_BRIDGE_NAME: fast(45, { net: network }, { name: text }),
  NETWORK_SET_AUTOSTART: fast(48, { net: network, autostart: int }, {}),
  NETWORK_IS_ACTIVE: fast(152, { net: network }, { active: int }),
  NETWORK_UPDATE: fast(
    291,
    { net: network, command: uint, section: uint, parentIndex: int, xml: text, flags: uint },
    {},
  ),
  NETWORK_GET_DHCP_LEASES: call(
    341,
    { net: network, mac: optionalText, need_results: int, flags: uint },
    { leases: array(dhcpLease, limits.dhcpLeases), ret: uint },
  ),
  // Secrets (only for encrypted/ceph/iscsi disks)
  SECRET_DEFINE_XML: fast(142, { xml: text, flags: uint }, { secret }),
  SECRET_SET_VALUE: fast(144, { secret, value: bytes, flags: uint }, {}),
  SECRET_UNDEFINE: fast(146, { secret }, {}),
  CONNECT_LIST_ALL_SECRETS: fast(
    287,
    { need_results: int, flags: uint },
    { secrets: array(secret, limits.listItems), ret: uint },
  ),
} as const;
