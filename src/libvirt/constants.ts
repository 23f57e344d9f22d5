/**
 * Flags and enumerations of libvirt's API, named after its headers (`virDomainState` is `DomainState`, …).
 * Values only; combine flags with `|`.
 */

/** `virDomainState`: `VIR_DOMAIN_*`. */
export const DomainState = {
  NOSTATE: 0,
  RUNNING: 1,
  BLOCKED: 2,
  PAUSED: 3,
  SHUTDOWN: 4,
  SHUTOFF: 5,
  CRASHED: 6,
  PMSUSPENDED: 7,
} as const;

/** `virDomainRunningReason`: `VIR_DOMAIN_RUNNING_*`. */
export const DomainRunningReason = {
  UNKNOWN: 0,
  BOOTED: 1,
  MIGRATED: 2,
  RESTORED: 3,
  FROM_SNAPSHOT: 4,
  UNPAUSED: 5,
  MIGRATION_CANCELED: 6,
  SAVE_CANCELED: 7,
  WAKEUP: 8,
  CRASHED: 9,
  POSTCOPY: 10,
  POSTCOPY_FAILED: 11,
} as const;

/** `virDomainPausedReason`: `VIR_DOMAIN_PAUSED_*`. */
export const DomainPausedReason = {
  UNKNOWN: 0,
  USER: 1,
  MIGRATION: 2,
  SAVE: 3,
  DUMP: 4,
  IOERROR: 5,
  WATCHDOG: 6,
  FROM_SNAPSHOT: 7,
  SHUTTING_DOWN: 8,
  SNAPSHOT: 9,
  CRASHED: 10,
  STARTING_UP: 11,
  POSTCOPY: 12,
  POSTCOPY_FAILED: 13,
  API_ERROR: 14,
} as const;

/** `virDomainShutoffReason`: `VIR_DOMAIN_SHUTOFF_*`. */
export const DomainShutoffReason = {
  UNKNOWN: 0,
  SHUTDOWN: 1,
  DESTROYED: 2,
  CRASHED: 3,
  MIGRATED: 4,
  SAVED: 5,
  FAILED: 6,
  FROM_SNAPSHOT: 7,
  DAEMON: 8,
} as const;

/** `virDomainControlState`: `VIR_DOMAIN_CONTROL_*`. */
export const DomainControlState = {
  OK: 0,
  JOB: 1,
  OCCUPIED: 2,
  ERROR: 3,
} as const;

/** `virDomainModificationImpact`: `VIR_DOMAIN_*`. */
export const AffectFlags = {
  AFFECT_CURRENT: 0,
  AFFECT_LIVE: 1,
  AFFECT_CONFIG: 2,
} as const;

/** `virDomainCreateFlags`: `VIR_DOMAIN_*`. */
export const DomainCreateFlags = {
  NONE: 0,
  START_PAUSED: 1,
  START_AUTODESTROY: 2,
  START_BYPASS_CACHE: 4,
  START_FORCE_BOOT: 8,
  START_VALIDATE: 16,
  START_RESET_NVRAM: 32,
} as const;

/** `virDomainDefineFlags`: `VIR_DOMAIN_*`. */
export const DomainDefineFlags = {
  DEFINE_VALIDATE: 1,
} as const;

/** `virDomainUndefineFlagsValues`: `VIR_DOMAIN_UNDEFINE_*`. */
export const DomainUndefineFlags = {
  MANAGED_SAVE: 1,
  SNAPSHOTS_METADATA: 2,
  NVRAM: 4,
  KEEP_NVRAM: 8,
  CHECKPOINTS_METADATA: 16,
  TPM: 32,
  KEEP_TPM: 64,
} as const;

/** `virDomainDestroyFlagsValues`: `VIR_DOMAIN_DESTROY_*`. */
export const DomainDestroyFlags = {
  DEFAULT: 0,
  GRACEFUL: 1,
  REMOVE_LOGS: 2,
} as const;

/** `virDomainShutdownFlagValues`: `VIR_DOMAIN_SHUTDOWN_*`. */
export const DomainShutdownFlags = {
  DEFAULT: 0,
  ACPI_POWER_BTN: 1,
  GUEST_AGENT: 2,
  INITCTL: 4,
  SIGNAL: 8,
  PARAVIRT: 16,
} as const;

/** `virDomainRebootFlagValues`: `VIR_DOMAIN_REBOOT_*`. */
export const DomainRebootFlags = {
  DEFAULT: 0,
  ACPI_POWER_BTN: 1,
  GUEST_AGENT: 2,
  INITCTL: 4,
  SIGNAL: 8,
  PARAVIRT: 16,
} as const;

/** `virConnectListAllDomainsFlags`: `VIR_CONNECT_LIST_DOMAINS_*`. */
export const ListDomainsFlags = {
  ACTIVE: 1,
  INACTIVE: 2,
  PERSISTENT: 4,
  TRANSIENT: 8,
  RUNNING: 16,
  PAUSED: 32,
  SHUTOFF: 64,
  OTHER: 128,
  MANAGEDSAVE: 256,
  NO_MANAGEDSAVE: 512,
  AUTOSTART: 1024,
  NO_AUTOSTART: 2048,
  HAS_SNAPSHOT: 4096,
  NO_SNAPSHOT: 8192,
  HAS_CHECKPOINT: 16384,
  NO_CHECKPOINT: 32768,
} as const;

/** `virDomainXMLFlags`: `VIR_DOMAIN_XML_*`. */
export const DomainXmlFlags = {
  SECURE: 1,
  INACTIVE: 2,
  UPDATE_CPU: 4,
  MIGRATABLE: 8,
} as const;

/** `virDomainSaveRestoreFlags`: `VIR_DOMAIN_SAVE_*`. */
export const SaveRestoreFlags = {
  BYPASS_CACHE: 1,
  RUNNING: 2,
  PAUSED: 4,
  RESET_NVRAM: 8,
} as const;

/** `virDomainMemoryModFlags`: `VIR_DOMAIN_*`. */
export const DomainMemoryFlags = {
  MEM_CURRENT: 0,
  MEM_LIVE: 1,
  MEM_CONFIG: 2,
  MEM_MAXIMUM: 4,
} as const;

/** `virDomainVcpuFlags`: `VIR_DOMAIN_VCPU_*`. */
export const DomainVcpuFlags = {
  CURRENT: 0,
  LIVE: 1,
  CONFIG: 2,
  MAXIMUM: 4,
  GUEST: 8,
  HOTPLUGGABLE: 16,
} as const;

/** `virDomainDeviceModifyFlags`: `VIR_DOMAIN_DEVICE_MODIFY_*`. */
export const DeviceModifyFlags = {
  CURRENT: 0,
  LIVE: 1,
  CONFIG: 2,
  FORCE: 4,
} as const;

/** `virDomainBlockResizeFlags`: `VIR_DOMAIN_BLOCK_RESIZE_*`. */
export const BlockResizeFlags = {
  BYTES: 1,
  CAPACITY: 2,
} as const;

/** `virDomainMetadataType`: `VIR_DOMAIN_METADATA_*`. */
export const MetadataType = {
  DESCRIPTION: 0,
  TITLE: 1,
  ELEMENT: 2,
} as const;

/** `virDomainStatsTypes`: `VIR_DOMAIN_STATS_*`. */
export const DomainStatsGroup = {
  STATE: 1,
  CPU_TOTAL: 2,
  BALLOON: 4,
  VCPU: 8,
  INTERFACE: 16,
  BLOCK: 32,
  PERF: 64,
  IOTHREAD: 128,
  MEMORY: 256,
  DIRTYRATE: 512,
  VM: 1024,
} as const;

/** `virConnectGetAllDomainStatsFlags`: `VIR_CONNECT_GET_ALL_DOMAINS_STATS_*`. */
export const DomainStatsFlags = {
  ACTIVE: 1,
  INACTIVE: 2,
  PERSISTENT: 4,
  TRANSIENT: 8,
  RUNNING: 16,
  PAUSED: 32,
  SHUTOFF: 64,
  OTHER: 128,
  NOWAIT: 536870912,
  BACKING: 1073741824,
  ENFORCE_STATS: 2147483648,
} as const;

/** `virDomainMigrateFlags`: `VIR_MIGRATE_*`. */
export const MigrateFlags = {
  LIVE: 1,
  PEER2PEER: 2,
  TUNNELLED: 4,
  PERSIST_DEST: 8,
  UNDEFINE_SOURCE: 16,
  PAUSED: 32,
  NON_SHARED_DISK: 64,
  NON_SHARED_INC: 128,
  CHANGE_PROTECTION: 256,
  UNSAFE: 512,
  OFFLINE: 1024,
  COMPRESSED: 2048,
  ABORT_ON_ERROR: 4096,
  AUTO_CONVERGE: 8192,
  RDMA_PIN_ALL: 16384,
  POSTCOPY: 32768,
  TLS: 65536,
  PARALLEL: 131072,
  NON_SHARED_SYNCHRONOUS_WRITES: 262144,
  POSTCOPY_RESUME: 524288,
  ZEROCOPY: 1048576,
} as const;

/** `virDomainJobType`: `VIR_DOMAIN_JOB_*`. */
export const JobType = {
  NONE: 0,
  BOUNDED: 1,
  UNBOUNDED: 2,
  COMPLETED: 3,
  FAILED: 4,
  CANCELLED: 5,
} as const;

/** `virDomainJobOperation`: `VIR_DOMAIN_JOB_OPERATION_*`. */
export const JobOperation = {
  UNKNOWN: 0,
  START: 1,
  SAVE: 2,
  RESTORE: 3,
  MIGRATION_IN: 4,
  MIGRATION_OUT: 5,
  SNAPSHOT: 6,
  SNAPSHOT_REVERT: 7,
  DUMP: 8,
  BACKUP: 9,
  SNAPSHOT_DELETE: 10,
} as const;

/** `virDomainGetJobStatsFlags`: `VIR_DOMAIN_JOB_STATS_*`. */
export const JobStatsFlags = {
  COMPLETED: 1,
  KEEP_COMPLETED: 2,
} as const;

/** `virDomainBlockJobType`: `VIR_DOMAIN_BLOCK_JOB_TYPE_*`. */
export const BlockJobType = {
  UNKNOWN: 0,
  PULL: 1,
  COPY: 2,
  COMMIT: 3,
  ACTIVE_COMMIT: 4,
  BACKUP: 5,
} as const;

/** `virConnectDomainEventBlockJobStatus`: `VIR_DOMAIN_BLOCK_JOB_*`. */
export const BlockJobStatus = {
  COMPLETED: 0,
  FAILED: 1,
  CANCELED: 2,
  READY: 3,
} as const;

/** `virDomainSnapshotCreateFlags`: `VIR_DOMAIN_SNAPSHOT_CREATE_*`. */
export const SnapshotCreateFlags = {
  REDEFINE: 1,
  CURRENT: 2,
  NO_METADATA: 4,
  HALT: 8,
  DISK_ONLY: 16,
  REUSE_EXT: 32,
  QUIESCE: 64,
  ATOMIC: 128,
  LIVE: 256,
  VALIDATE: 512,
} as const;

/** `virDomainSnapshotListFlags`: `VIR_DOMAIN_SNAPSHOT_LIST_*`. */
export const SnapshotListFlags = {
  ROOTS: 1,
  DESCENDANTS: 1,
  LEAVES: 4,
  NO_LEAVES: 8,
  METADATA: 2,
  NO_METADATA: 16,
  INACTIVE: 32,
  ACTIVE: 64,
  DISK_ONLY: 128,
  INTERNAL: 256,
  EXTERNAL: 512,
  TOPOLOGICAL: 1024,
} as const;

/** `virDomainSnapshotRevertFlags`: `VIR_DOMAIN_SNAPSHOT_REVERT_*`. */
export const SnapshotRevertFlags = {
  RUNNING: 1,
  PAUSED: 2,
  FORCE: 4,
  RESET_NVRAM: 8,
} as const;

/** `virDomainSnapshotDeleteFlags`: `VIR_DOMAIN_SNAPSHOT_DELETE_*`. */
export const SnapshotDeleteFlags = {
  CHILDREN: 1,
  METADATA_ONLY: 2,
  CHILDREN_ONLY: 4,
} as const;

/** `virDomainInterfaceAddressesSource`: `VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_*`. */
export const InterfaceAddressesSource = {
  LEASE: 0,
  AGENT: 1,
  ARP: 2,
} as const;

/** `virIPAddrType`: `VIR_IP_ADDR_TYPE_*`. */
export const IpAddressType = {
  IPV4: 0,
  IPV6: 1,
} as const;

/** `virDomainQemuAgentCommandTimeoutValues`: `VIR_DOMAIN_QEMU_AGENT_COMMAND_*`. */
export const AgentCommandTimeout = {
  MIN: -2,
  BLOCK: -2,
  DEFAULT: -1,
  NOWAIT: 0,
  SHUTDOWN: 60,
} as const;

/** `virStoragePoolState`: `VIR_STORAGE_POOL_*`. */
export const StoragePoolState = {
  INACTIVE: 0,
  BUILDING: 1,
  RUNNING: 2,
  DEGRADED: 3,
  INACCESSIBLE: 4,
} as const;

/** `virStoragePoolCreateFlags`: `VIR_STORAGE_POOL_CREATE_*`. */
export const StoragePoolCreateFlags = {
  NORMAL: 0,
  WITH_BUILD: 1,
  WITH_BUILD_OVERWRITE: 2,
  WITH_BUILD_NO_OVERWRITE: 4,
} as const;

/** `virStoragePoolBuildFlags`: `VIR_STORAGE_POOL_BUILD_*`. */
export const StoragePoolBuildFlags = {
  NEW: 0,
  REPAIR: 1,
  RESIZE: 2,
  NO_OVERWRITE: 4,
  OVERWRITE: 8,
} as const;

/** `virStorageVolType`: `VIR_STORAGE_VOL_*`. */
export const StorageVolumeType = {
  FILE: 0,
  BLOCK: 1,
  DIR: 2,
  NETWORK: 3,
  NETDIR: 4,
  PLOOP: 5,
} as const;

/** `virStorageVolCreateFlags`: `VIR_STORAGE_VOL_CREATE_*`. */
export const StorageVolumeCreateFlags = {
  PREALLOC_METADATA: 1,
  REFLINK: 2,
  VALIDATE: 4,
} as const;

/** `virStorageVolDeleteFlags`: `VIR_STORAGE_VOL_DELETE_*`. */
export const StorageVolumeDeleteFlags = {
  NORMAL: 0,
  ZEROED: 1,
  WITH_SNAPSHOTS: 2,
} as const;

/** `virStorageVolResizeFlags`: `VIR_STORAGE_VOL_RESIZE_*`. */
export const StorageVolumeResizeFlags = {
  ALLOCATE: 1,
  DELTA: 2,
  SHRINK: 4,
} as const;

/** `virDomainEventStartedDetailType`: `VIR_DOMAIN_EVENT_STARTED_*`. */
export const StartedDetail = {
  BOOTED: 0,
  MIGRATED: 1,
  RESTORED: 2,
  FROM_SNAPSHOT: 3,
  WAKEUP: 4,
} as const;

/** `virDomainEventSuspendedDetailType`: `VIR_DOMAIN_EVENT_SUSPENDED_*`. */
export const SuspendedDetail = {
  PAUSED: 0,
  MIGRATED: 1,
  IOERROR: 2,
  WATCHDOG: 3,
  RESTORED: 4,
  FROM_SNAPSHOT: 5,
  API_ERROR: 6,
  POSTCOPY: 7,
  POSTCOPY_FAILED: 8,
} as const;

/** `virDomainEventResumedDetailType`: `VIR_DOMAIN_EVENT_RESUMED_*`. */
export const ResumedDetail = {
  UNPAUSED: 0,
  MIGRATED: 1,
  FROM_SNAPSHOT: 2,
  POSTCOPY: 3,
  POSTCOPY_FAILED: 4,
} as const;

/** `virDomainEventStoppedDetailType`: `VIR_DOMAIN_EVENT_STOPPED_*`. */
export const StoppedDetail = {
  SHUTDOWN: 0,
  DESTROYED: 1,
  CRASHED: 2,
  MIGRATED: 3,
  SAVED: 4,
  FAILED: 5,
  FROM_SNAPSHOT: 6,
} as const;

/** `virDomainEventShutdownDetailType`: `VIR_DOMAIN_EVENT_SHUTDOWN_*`. */
export const ShutdownDetail = {
  FINISHED: 0,
  GUEST: 1,
  HOST: 2,
} as const;

/** `virDomainEventDefinedDetailType`: `VIR_DOMAIN_EVENT_DEFINED_*`. */
export const DefinedDetail = {
  ADDED: 0,
  UPDATED: 1,
  RENAMED: 2,
  FROM_SNAPSHOT: 3,
} as const;

/** `virConnectDomainEventAgentLifecycleReason`: `VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_*`. */
export const AgentLifecycleReason = {
  UNKNOWN: 0,
  DOMAIN_STARTED: 1,
  CHANNEL: 2,
} as const;
