/**
 * Snapshots, checkpoints and backups: rows of the procedure table.
 * Only names, numbers and layouts; how a call is made is not known here.
 */
import { array, int, uint } from '../bytes/xdr.ts';
import { domain, domainCheckpoint, domainSnapshot, limits, optionalText, text } from '../structs.ts';
import { call, fast } from './procedure.ts';

export const snapshotProcedures = {
  // Snapshots, checkpoints, backup
  DOMAIN_SNAPSHOT_CREATE_XML: call(185, { dom: domain, xml_desc: text, flags: uint }, { snap: domainSnapshot }),
  DOMAIN_SNAPSHOT_GET_XML_DESC: fast(186, { snap: domainSnapshot, flags: uint }, { xml: text }),
  DOMAIN_LIST_ALL_SNAPSHOTS: fast(
    274,
    { dom: domain, need_results: int, flags: uint },
    { snapshots: array(domainSnapshot, limits.listItems), ret: int },
  ),
  DOMAIN_SNAPSHOT_LIST_ALL_CHILDREN: fast(
    275,
    { snapshot: domainSnapshot, need_results: int, flags: uint },
    { snapshots: array(domainSnapshot, limits.listItems), ret: int },
  ),
  DOMAIN_SNAPSHOT_LOOKUP_BY_NAME: fast(189, { dom: domain, name: text, flags: uint }, { snap: domainSnapshot }),
  DOMAIN_SNAPSHOT_CURRENT: call(191, { dom: domain, flags: uint }, { snap: domainSnapshot }),
  DOMAIN_HAS_CURRENT_SNAPSHOT: call(190, { dom: domain, flags: uint }, { result: int }),
  DOMAIN_SNAPSHOT_GET_PARENT: fast(244, { snap: domainSnapshot, flags: uint }, { snap: domainSnapshot }),
  DOMAIN_SNAPSHOT_IS_CURRENT: call(271, { snap: domainSnapshot, flags: uint }, { current: int }),
  DOMAIN_SNAPSHOT_HAS_METADATA: call(272, { snap: domainSnapshot, flags: uint }, { metadata: int }),
  DOMAIN_REVERT_TO_SNAPSHOT: call(192, { snap: domainSnapshot, flags: uint }, {}),
  DOMAIN_SNAPSHOT_DELETE: call(193, { snap: domainSnapshot, flags: uint }, {}),
  DOMAIN_CHECKPOINT_CREATE_XML: call(
    411,
    { dom: domain, xml_desc: text, flags: uint },
    { checkpoint: domainCheckpoint },
  ),
  DOMAIN_CHECKPOINT_GET_XML_DESC: call(412, { checkpoint: domainCheckpoint, flags: uint }, { xml: text }),
  DOMAIN_LIST_ALL_CHECKPOINTS: fast(
    413,
    { dom: domain, need_results: int, flags: uint },
    { checkpoints: array(domainCheckpoint, limits.listItems), ret: int },
  ),
  DOMAIN_CHECKPOINT_LOOKUP_BY_NAME: fast(
    415,
    { dom: domain, name: text, flags: uint },
    { checkpoint: domainCheckpoint },
  ),
  DOMAIN_CHECKPOINT_DELETE: call(417, { checkpoint: domainCheckpoint, flags: uint }, {}),
  DOMAIN_BACKUP_BEGIN: call(421, { dom: domain, backup_xml: text, checkpoint_xml: optionalText, flags: uint }, {}),
  DOMAIN_BACKUP_GET_XML_DESC: fast(422, { dom: domain, flags: uint }, { xml: text }),
} as const;
