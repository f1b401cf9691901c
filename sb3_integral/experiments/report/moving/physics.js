"use strict";
// Acrobot-v1 and CartPole-v1, their equations of motion and limits as in Gymnasium.

const wrapped = angle => {
  while (angle > Math.PI) angle -= 2 * Math.PI;
  while (angle < -Math.PI) angle += 2 * Math.PI;
  return angle;
};
const bounded = (value, most) => Math.min(Math.max(value, -most), most);

// How fast the two angles and their speeds change; both links have length, mass and inertia 1.
function acrobatics([first, second, speed1, speed2], torque) {
  const { sin, cos, PI } = Math, g = 9.8;
  const d1 = 0.25 + (1.25 + cos(second)) + 2;
  const d2 = 0.25 + 0.5 * cos(second) + 1;
  const phi2 = 0.5 * g * cos(first + second - PI / 2);
  const phi1 = -0.5 * speed2 ** 2 * sin(second) - speed2 * speed1 * sin(second)
    + 1.5 * g * cos(first - PI / 2) + phi2;
  const change2 = (torque + d2 / d1 * phi1 - 0.5 * speed1 ** 2 * sin(second) - phi2) / (1.25 - d2 ** 2 / d1);
  return [speed1, speed2, -(d2 * change2 + phi1) / d1, change2];
}

const ENVIRONMENTS = {
  "Acrobot-v1": {
    seconds: 0.2, limit: 500, worst: -500, best: -60,
    goal: "Swing the tip above the line. Every step costs 1.",
    start: random => Array.from({ length: 4 }, () => 0.2 * random() - 0.1),
    observe: ([first, second, ...speeds]) =>
      [Math.cos(first), Math.sin(first), Math.cos(second), Math.sin(second), ...speeds],
    step(state, action) {
      // One step of the Runge-Kutta method of fourth order.
      const dt = this.seconds, torque = action - 1;
      const moved = (slope, by) => state.map((value, i) => value + by * slope[i]);
      const k1 = acrobatics(state, torque), k2 = acrobatics(moved(k1, dt / 2), torque);
      const k3 = acrobatics(moved(k2, dt / 2), torque), k4 = acrobatics(moved(k3, dt), torque);
      const next = state.map((value, i) => value + dt / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
      next[0] = wrapped(next[0]);
      next[1] = wrapped(next[1]);
      next[2] = bounded(next[2], 4 * Math.PI);
      next[3] = bounded(next[3], 9 * Math.PI);
      const done = -Math.cos(next[0]) - Math.cos(next[1] + next[0]) > 1;
      return { state: next, reward: done ? 0 : -1, done };
    },
  },
  "CartPole-v1": {
    seconds: 0.02, limit: 500, worst: 0, best: 500,
    goal: "Keep the pole up. Every step brings 1, and 500 is the most.",
    start: random => Array.from({ length: 4 }, () => 0.1 * random() - 0.05),
    observe: state => state,
    step([x, speed, angle, turning], action) {
      const dt = this.seconds, force = action === 1 ? 10 : -10;
      const cosine = Math.cos(angle), sine = Math.sin(angle);
      const pull = (force + 0.05 * turning ** 2 * sine) / 1.1;
      const turn = (9.8 * sine - cosine * pull) / (0.5 * (4 / 3 - 0.1 * cosine ** 2 / 1.1));
      const push = pull - 0.05 * turn * cosine / 1.1;
      const state = [x + dt * speed, speed + dt * push, angle + dt * turning, turning + dt * turn];
      const done = Math.abs(state[0]) > 2.4 || Math.abs(state[2]) > 12 * 2 * Math.PI / 360;
      return { state, reward: 1, done };
    },
  },
};
