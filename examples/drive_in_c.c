/* Drives CartPole with an exported actor: no library, no allocation.
 *
 *   python drive_in_c.py                  writes cartpole_actor.h, compiles this file and runs it
 *   cc -O2 -o drive drive_in_c.c -lm && ./drive
 */
#include <math.h>
#include <stdio.h>

#include "cartpole_actor.h"

int main(void) {
    float state[4] = {0.01f, 0.0f, 0.02f, 0.0f}; /* place, speed, angle, its speed */
    int steps = 0;
    while (steps < 500 && fabsf(state[0]) <= 2.4f && fabsf(state[2]) <= 0.2095f) {
        const float force = cartpole_act(state) == 1 ? 10.0f : -10.0f;
        const float cosine = cosf(state[2]), sine = sinf(state[2]);
        const float pull = (force + 0.05f * state[3] * state[3] * sine) / 1.1f;
        const float turn = (9.8f * sine - cosine * pull) / (0.5f * (4.0f / 3.0f - 0.1f * cosine * cosine / 1.1f));
        const float push = pull - 0.05f * turn * cosine / 1.1f;
        state[0] += 0.02f * state[1];
        state[1] += 0.02f * push;
        state[2] += 0.02f * state[3];
        state[3] += 0.02f * turn;
        steps++;
    }
    printf("%d steps of 500\n", steps);
    return steps == 500 ? 0 : 1;
}
