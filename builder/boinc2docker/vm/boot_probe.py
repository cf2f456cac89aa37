"""A boot sector that proves that a guest can run here, in 166 bytes. Pure data.

It switches from real mode to long mode, as every kernel does, and executes SSE arithmetic, which fails on a hypervisor
that emulates instructions instead of running them. Then it writes ``b2d`` to port 0x504 and ends QEMU through port
0x501.
"""

from __future__ import annotations

EXIT_VALUE = 0x31
"""Written to isa-debug-exit at 0x501; QEMU then exits with ``2 * value + 1``."""

_CODE = """
    fa ea067c0000                      ; cli; jmp 0:flat
    31c0 8ed8 8ec0 8ed0 bc007c fc      ; flat: all segments 0, stack below the code
    bf0010 b9000c 6631c0 66f3ab        ; clear the page tables, 0x1000-0x3fff
    c70600100320 c70600200330          ; PML4[0] -> 0x2000, PDPT[0] -> 0x3000
    c70600308300                       ; PD[0]: 2 MiB at 0
    66b800100000 0f22d8                ; cr3 = 0x1000
    0f20e0 0d2002 0f22e0               ; cr4: PAE, OSFXSR
    66b9800000c0 0f32 0d0001 0f30      ; EFER: long mode
    660f0116a07c                       ; lgdt gdtr
    0f20c0 24fb 660d03000080 0f22c0    ; cr0: paging, protection, monitor; no FPU emulation
    ea687c0800                         ; jmp 8:long
    660ffec0 f20f59c0                  ; long: paddd xmm0, xmm0; mulsd xmm0, xmm0
    66ba0405 be8a7c0000 b904000000     ; dx = 0x504, rsi = text, rcx = 4
    f36e                               ; rep outsb
    66ba0105 b031 ee                   ; 0x31 to 0x501
    f4 ebfd                            ; stop: hlt; jmp stop
    6232640a 6690                      ; text: "b2d\\n"
    0000000000000000 00000000009a2000  ; gdt: null, 64-bit code
    0f00 907c0000                      ; gdtr
"""


def boot_sector() -> bytes:
    """The 512 bytes of the disk."""
    code = bytes.fromhex("".join(line.partition(";")[0] for line in _CODE.splitlines()))
    return code.ljust(510, b"\0") + b"\x55\xaa"
