// A 512-byte boot sector that proves whether a guest really runs: it enters long mode and does what every kernel does
// there, then reports: through QEMU's debug-exit device where there is one, else by powering itself off. Not a test of speed. Assembled by hand from the lines beside the bytes.

/** QEMU's debug-exit device: a byte V written to this port ends QEMU with status 2V+1. */
export const DEBUG_EXIT_PORT = 0x501;
/** The exit status of a QEMU whose guest ran the sector to its end: 2 × 0x10 + 1. */
export const RAN_STATUS = 33;

const LISTING = `
  fa fc                      ; 7c00 cli; cld                           real mode, loaded at 0x7c00
  31 c0 8e d8 8e c0 8e d0    ; xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax
  bc 00 7c                   ; mov sp,0x7c00
  bf 00 80 b9 00 18 f3 ab    ; mov di,0x8000; mov cx,0x1800; rep stosw   three empty page tables
  c7 06 00 80 03 90          ; mov word [0x8000],0x9003                  level 4 -> level 3
  c7 06 00 90 03 a0          ; mov word [0x9000],0xa003                  level 3 -> level 2
  c7 06 00 a0 83 00          ; mov word [0xa000],0x0083                  the first 2 MiB, one large page
  66 0f 01 16 f8 7c          ; lgdt [0x7cf8]
  0f 20 e0 0c 20 0f 22 e0    ; mov eax,cr4; or al,0x20; mov cr4,eax      PAE
  66 bf 00 80 00 00 0f 22 df ; mov edi,0x8000; mov cr3,edi
  66 b9 80 00 00 c0          ; mov ecx,0xc0000080                        EFER
  0f 32 80 cc 01 0f 30       ; rdmsr; or ah,1; wrmsr                     long mode enable
  0f 20 c0 66 0d 01 00 00 80 ; mov eax,cr0; or eax,0x80000001            paging and protection at once
  0f 22 c0                   ; mov cr0,eax
  ea 5c 7c 08 00             ; jmp 8:0x7c5c
  b8 10 00 00 00 8e d0       ; 7c5c mov eax,0x10; mov ss,eax             64-bit from here
  bc 00 70 00 00             ; mov esp,0x7000
  8d 04 25 db 7c 00 00       ; lea eax,[0x7cdb]                          vector 3 of a table at 0xb000
  66 89 04 25 30 b0 00 00    ; mov [0xb030],ax                           offset
  66 c7 04 25 32 b0 00 00 08 00 ; mov word [0xb032],8                    segment
  66 c7 04 25 34 b0 00 00 00 8e ; mov word [0xb034],0x8e00               present, interrupt gate
  66 c7 04 25 36 b0 00 00 00 00 ; mov word [0xb036],0
  48 c7 04 25 38 b0 00 00 00 00 00 00 ; mov qword [0xb038],0
  0f 01 1c 25 fe 7c 00 00    ; lidt [0x7cfe]
  bd f4 01 00 00             ; mov ebp,500
  0f 20 d8 0f 22 d8          ; 7cae mov rax,cr3; mov cr3,rax             drop the address cache
  0f 01 3c 25 00 7c 00 00    ; invlpg [0x7c00]
  31 c0 0f a2                ; xor eax,eax; cpuid                        always leaves to the hypervisor
  0f 31                      ; rdtsc
  cc                         ; int3                                      exception and iretq
  ff cd 75 e7                ; dec ebp; jnz 0x7cae
  b0 10 66 ba 01 05 ee       ; mov al,0x10; mov dx,0x501; out dx,al      "it ran"
  66 ba 04 06 66 b8 00 20    ; mov dx,0x604; mov ax,0x2000               ACPI sleep control of the machine "pc"
  66 ef                      ; out dx,ax                                 power off, when nobody took "it ran"
  f4 eb fd                   ; 7cd8 hlt; jmp 0x7cd8
  48 cf                      ; 7cdb iretq
`;

/** Null, 64-bit code and data segments; then the operands of lgdt and lidt. */
const TABLES_AT = 0xe0;
const TABLES = `
  00 00 00 00 00 00 00 00
  00 00 00 00 00 9a 20 00
  00 00 00 00 00 92 00 00
  17 00 e0 7c 00 00
  3f 00 00 b0 00 00 00 00 00 00
`;

function bytesOf(listing: string): Buffer {
  const columns = listing.split('\n').map((line) => line.split(';')[0] ?? '');
  return Buffer.from(columns.join('').replaceAll(/\s/g, ''), 'hex');
}

/** The 512 bytes, to be put on a floppy and booted on QEMU's machine `pc`. */
export function bootSector(): Buffer {
  const sector = Buffer.alloc(512);
  bytesOf(LISTING).copy(sector);
  bytesOf(TABLES).copy(sector, TABLES_AT);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
