"""C headers on an emulated Cortex-M4: instructions for a step, flash, RAM, and whether they act right.

It needs ``qemu-system-arm``, ``arm-none-eabi-gcc`` and newlib (on Debian: ``apt-get install
qemu-system-arm gcc-arm-none-eabi libnewlib-arm-none-eabi``). QEMU counts instructions, not cycles: a
Cortex-M4 takes one cycle for most, more for a load, a branch or a division.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from gymnasium import spaces
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.policies import BasePolicy

from sb3_integral.actor import NumpyActor, actor_spec
from sb3_integral.actor.flattening import flattened
from sb3_integral.actor.quantized import Weights
from sb3_integral.deploy import export_c
from sb3_integral.imitation.students import StudentArchitecture

COMPILER, EMULATOR, SIZES = "arm-none-eabi-gcc", "qemu-system-arm", "arm-none-eabi-size"
FLAGS = (
    *("-std=c99", "-mcpu=cortex-m4", "-mthumb", "-O2"),
    *("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Wdouble-promotion", "-Werror"),
    *("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-nostartfiles", "-fstack-usage"),
)
HARD, SOFT = ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"), ("-mfloat-abi=soft",)
MACHINE = ("-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none")
OBSERVED, ACTED = 17, 6
EXAMPLES, REPEATS = 8, 25
TICK = 40
"""Instructions in a tick of the machine's timer of 25 MHz, where an instruction takes 1 ns."""

LINKER = """
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
ENTRY(reset)
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) . = ALIGN(4); } > FLASH
    .ARM.exidx : { *(.ARM.exidx*) } > FLASH
    .data : { *(.data*) . = ALIGN(4); } > RAM
    .bss : { *(.bss*) *(COMMON) . = ALIGN(4); } > RAM
    stack_top = ORIGIN(RAM) + LENGTH(RAM);
}
"""
STEP = """
#include "policy.h"
void step(const float *observation, float *action);
int check(void);
void step(const float *observation, float *action)
{{
    {call}
}}
int check(void) {{ return policy_selftest(); }}
"""
ONE_CHOICE = "action[0] = (float)policy_act(observation);"
CHOICES = """int chosen[POLICY_ACTIONS], j;
    policy_act(observation, chosen);
    for (j = 0; j < POLICY_ACTIONS; ++j)
        action[j] = (float)chosen[j];"""
NUMBERS = "policy_act(observation, action);"
MAIN = r"""
#include <stdint.h>
#include "examples.h"
extern char stack_top;
void step(const float *observation, float *action);
int check(void);
void reset(void);
int *__errno(void);
static void run(void);
static int error_number;
int *__errno(void) { return &error_number; }

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {
    (uintptr_t)&stack_top, (uintptr_t)reset};

static void call_host(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(uint32_t number, const char *end)
{
    char text[12];
    int start = 11;
    text[start] = 0;
    do {
        text[--start] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    call_host(4, text + start);
    call_host(4, end);
}

__attribute__((noinline)) static void run(void)
{
    volatile uint32_t *const timer = (volatile uint32_t *)0xE000E010;
    float action[ACTED];
    uint32_t before, spent;
    int i, repeat;
    print((uint32_t)check(), "\n");
    timer[1] = 0xFFFFFF;
    timer[2] = 0;
    timer[0] = 5;
    before = timer[2];
    for (repeat = 0; repeat < REPEATS; ++repeat)
        for (i = 0; i < EXAMPLES; ++i)
            step(examples + i * OBSERVED, action);
    spent = (before - timer[2]) & 0xFFFFFF;
    print(spent, "\n");
    for (i = 0; i < EXAMPLES; ++i) {
        int j;
        step(examples + i * OBSERVED, action);
        for (j = 0; j < ACTED; ++j) {
            union { float number; uint32_t bits; } shown;
            shown.number = action[j];
            print(shown.bits, " ");
        }
    }
    call_host(0x18, (const void *)0x20026);
}

void reset(void)
{
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* switches the floating-point unit on */
    __asm__ volatile("dsb\n isb");
    run();
    for (;;) {
    }
}
"""


class Measured(NamedTuple):
    """What one header takes.

    Attributes:
        instructions: For one step, with the loop around it.
        flash: Bytes of its code, of its constants and of what it needs of libm.
        ram: Bytes of the stack that its functions take, and of data.
        off: The largest difference to NumPy's actions with such weights.
        selftest: What the header's self-test returns.
    """

    instructions: int
    flash: int
    ram: int
    off: float
    selftest: int


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [name for name in (COMPILER, EMULATOR, SIZES) if shutil.which(name) is None]


def step_file(actions: spaces.Space[Any]) -> str:
    """Return a C file whose ``step`` writes actions of any space as floats."""
    if isinstance(actions, spaces.Box):
        return STEP.format(call=NUMBERS)
    return STEP.format(call=ONE_CHOICE if isinstance(actions, spaces.Discrete) else CHOICES)


def measure(
    size: int, activation: str, weights: Weights, folder: Path, floats: tuple[str, ...] = HARD
) -> Measured:
    """Write the header of a network 17-size-size-6, and run it with floats in hardware or software."""
    box = spaces.Box(-np.inf, np.inf, (OBSERVED,)), spaces.Box(-1.0, 1.0, (ACTED,))
    student = StudentArchitecture("plain", (size, size), activation=activation).build(*box, seed=0)
    with torch.no_grad():  # SB3 begins with an action layer that gives next to nothing
        student.action_net.weight.mul_(100.0)
    seen = np.random.default_rng(0).normal(size=(EXAMPLES, OBSERVED)).astype(np.float32)
    return measure_policy(student, seen, weights, folder, floats)


def measure_policy(
    policy: BasePolicy, seen: Any, weights: Weights, folder: Path, floats: tuple[str, ...] = HARD
) -> Measured:
    """Write the header of a policy, and run it on a batch of observations, as ``predict`` takes them."""
    export_c(policy, folder / "policy.h", weights=weights)
    spec = actor_spec(policy)
    flat = flattened(spec.observation_space, seen)
    wanted = NumpyActor(spec, weights)(seen).reshape(len(flat), -1).astype(np.float32)
    numbers = ", ".join(f"{value:.9e}f" for value in flat.ravel())
    counts = {"EXAMPLES": len(flat), "OBSERVED": flat.shape[1], "ACTED": wanted.shape[1]}
    lines = [f"#define {name} {value}" for name, value in {**counts, "REPEATS": REPEATS}.items()]
    lines.append(f"static const float examples[{flat.size}] = {{{numbers}}};\n")
    for name, text in (
        ("examples.h", "\n".join(lines)),
        *(("step.c", step_file(policy.action_space)), ("main.c", MAIN), ("link.ld", LINKER)),
    ):
        (folder / name).write_text(text, encoding="ascii")
    said = _run(folder, floats).split()
    action = np.uint32([int(own) for own in said[2:]]).view(np.float32).reshape(wanted.shape)
    used = [
        int(own.split("\t")[1]) for own in (folder / "step.su").read_text(encoding="ascii").splitlines()
    ]
    with_policy, without = (_flash(folder, name) for name in ("program.elf", "empty.elf"))
    return Measured(
        round(int(said[1]) * TICK / (len(flat) * REPEATS)),
        with_policy[0] - without[0],
        max(used) + with_policy[1] - without[1],
        float(np.abs(action - wanted).max()),
        int(said[0]),
    )


def _run(folder: Path, floats: tuple[str, ...]) -> str:
    """Compile and run a program, and the same without a policy; return what the first prints."""
    (folder / "empty.c").write_text(
        "void step(const float *o, float *a);\nint check(void);\n"
        "void step(const float *o, float *a) { (void)o; (void)a; }\nint check(void) { return 0; }\n",
        encoding="ascii",
    )
    for program, files in (("empty.elf", ("empty.c", "main.c")), ("program.elf", ("step.c", "main.c"))):
        for file in files:
            subprocess.run([COMPILER, *FLAGS, *floats, "-c", file], cwd=folder, check=True)
        objects = [f"{Path(file).stem}.o" for file in files]
        linked = [COMPILER, *FLAGS, *floats, "-T", "link.ld", *objects, "-o", program, "-lm"]
        subprocess.run(linked, cwd=folder, check=True)
    semihosting = ("-semihosting-config", "enable=on,target=native", "-icount", "shift=0")
    command = [EMULATOR, *MACHINE, *semihosting, "-kernel", "program.elf"]
    done = subprocess.run(
        command,
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


def _flash(folder: Path, program: str) -> tuple[int, int]:
    """Return the bytes of code and constants, and those of data."""
    said = subprocess.run(
        [SIZES, program], cwd=folder, check=True, capture_output=True, text=True, encoding="utf-8"
    )
    text, data, bss = map(int, re.findall(r"\d+", said.stdout.splitlines()[1])[:3])
    return text + data, data + bss


def main(
    sizes: Annotated[list[int] | None, typer.Option("--size", help="Neurons of a layer.")] = None,
    soft_float: Annotated[bool, typer.Option(help="As on a processor without floats.")] = False,
) -> None:
    """Print a table of networks 17-N-N-6."""
    if missing():
        print(f"skipped: {', '.join(missing())} not installed")
        sys.exit(0)
    torch.set_num_threads(1)
    floats = SOFT if soft_float else HARD
    table = Table(
        "N", "activation", "weights", "instructions a step", "flash", "RAM", "off by", "self-test"
    )
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes or (10, 30, 64):
            for activation in ("relu", "tanh"):
                for weights in ("float32", "int8", "q15"):
                    own = measure(size, activation, weights, Path(folder), floats)  # type: ignore[arg-type]
                    shown = (f"{own.instructions:,}", f"{own.flash:,}", f"{own.ram:,}", f"{own.off:.1e}")
                    passed = "passes" if own.selftest == 0 else f"fails at {own.selftest}"
                    table.add_row(str(size), activation, weights, *shown, passed)
    version = subprocess.run(
        [COMPILER, "--version"], check=True, capture_output=True, text=True, encoding="utf-8"
    )
    console = Console(width=110)
    console.print(version.stdout.splitlines()[0], "-O2", *floats, "; flash and RAM in bytes")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
