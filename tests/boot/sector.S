# A boot sector that reads a block of its disk, says on the serial line what stands there, writes it to another block, and ends the
# virtual machine. With a message in block 64 the disk has it in block 65 afterwards.
    .code16
    .globl _start
_start:
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    mov $read, %si
    mov $0x4200, %ax            # extended read, of the drive in DL that this was booted from
    int $0x13
    jc fail
    mov $0x8000, %si
    call say
    mov $write, %si
    mov $0x4300, %ax            # extended write
    int $0x13
    jc fail
    mov $written, %si
    call say
    mov $0x10, %al
end:
    out %al, $0xf4              # QEMU's isa-debug-exit ends with status 2 * AL + 1
    hlt
    jmp end
fail:
    mov $failed, %si
    call say
    mov $0x11, %al
    jmp end
say:                            # the text at SI, to the first serial line
    push %dx
0:  lodsb
    or %al, %al
    jz 2f
    mov %al, %bl
1:  mov $0x3fd, %dx
    in %dx, %al
    test $0x20, %al
    jz 1b
    mov %bl, %al
    mov $0x3f8, %dx
    out %al, %dx
    jmp 0b
2:  pop %dx
    ret
    .balign 4
read:                           # disk address packets: one block, to and from 0000:8000
    .byte 16, 0
    .word 1, 0x8000, 0
    .quad 64
write:
    .byte 16, 0
    .word 1, 0x8000, 0
    .quad 65
written:
    .asciz "and it is written\n"
failed:
    .asciz "the disk can't be used\n"
    .org 510
    .word 0xaa55
