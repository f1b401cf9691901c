"use strict";
// One page: two networks of one size, a picture of each, and what both are worth at that size.

const EPISODES = 10; // of which the mean return is shown
const HOLD = 0.8; // seconds for which the end of an episode is shown
const SPEED = { "Acrobot-v1": 2.5, "CartPole-v1": 1 };

const environment = ENVIRONMENTS[DATA.env];
const find = name => document.getElementById(name);
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// A generator of random numbers that is the same on every machine (mulberry32).
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

class Agent {
  constructor(name, network) {
    Object.assign(this, { name, network, episode: 0 });
    this.begin();
  }

  begin() {
    this.state = this.before = environment.start(generator(this.episode + 1));
    Object.assign(this, { total: 0, steps: 0, ended: false, wait: HOLD });
    this.network.run(environment.observe(this.state));
  }

  step() {
    const action = this.network.act(environment.observe(this.state));
    const { state, reward, done } = environment.step(this.state, action);
    this.before = this.state;
    Object.assign(this, { state, action });
    this.total += reward;
    this.steps += 1;
    this.ended = done || this.steps === environment.limit;
  }
}

function meanReturn(network) {
  let sum = 0;
  for (let episode = 0; episode < EPISODES; episode++) {
    let state = environment.start(generator(1000 + episode));
    for (let steps = 0, done = false; !done && steps < environment.limit; steps++) {
      let reward;
      ({ state, reward, done } = environment.step(state, network.act(environment.observe(state))));
      sum += reward;
    }
  }
  return sum / EPISODES;
}

// The quickest of several rounds: what else the browser does makes the others longer.
function microseconds(network) {
  const seen = environment.observe(environment.start(generator(1)));
  const rounds = Array.from({ length: 20 }, () => {
    const began = performance.now();
    let count = 0;
    do for (let i = 0; i < 20; i++, count++) network.run(seen); while (performance.now() < began + 1);
    return (1000 * (performance.now() - began)) / count;
  });
  return Math.min(...rounds);
}

const agents = [
  new Agent("integral", new Network(DATA.integral, sampledLayer)),
  new Agent("plain", new Network(DATA.plain, (layer, size) => interpolatedLayer(layer, size, false))),
];

// Drawing

function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1, { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width, height };
}

function line(context, points, width, stroke) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  Object.assign(context, { lineWidth: width, strokeStyle: stroke, lineCap: "round", lineJoin: "round" });
  context.stroke();
}

function dot(context, [x, y], radius, fill) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
}

const between = (a, b, part) => a + part * (b - a);

const DRAWINGS = {
  "Acrobot-v1"({ context, width, height }, { before, state }, part, mark) {
    const unit = Math.min(width, height) / 4.6, middle = [width / 2, height / 2];
    const angle = i => before[i] + part * wrapped(state[i] - before[i]);
    const first = angle(0), both = first + angle(1);
    const elbow = [middle[0] + unit * Math.sin(first), middle[1] + unit * Math.cos(first)];
    const tip = [elbow[0] + unit * Math.sin(both), elbow[1] + unit * Math.cos(both)];
    context.setLineDash([4, 4]);
    line(context, [[8, middle[1] - unit], [width - 8, middle[1] - unit]], 1.5, colour("soft"));
    context.setLineDash([]);
    line(context, [middle, elbow, tip], 9, mark);
    [middle, elbow].forEach(place => dot(context, place, 6, colour("ink")));
    dot(context, tip, 8, mark);
  },
  "CartPole-v1"({ context, width, height }, { before, state }, part, mark) {
    const unit = width / 5.4, floor = 0.8 * height;
    const x = width / 2 + unit * between(before[0], state[0], part), lean = between(before[2], state[2], part);
    const length = Math.min(0.6 * height, 1.9 * unit), cart = [x, floor - 0.16 * unit];
    line(context, [[8, floor], [width - 8, floor]], 1.5, colour("soft"));
    context.fillStyle = colour("ink");
    context.fillRect(x - 0.32 * unit, floor - 0.32 * unit, 0.64 * unit, 0.32 * unit);
    line(context, [cart, [x + length * Math.sin(lean), cart[1] - length * Math.cos(lean)]], 8, mark);
    dot(context, cart, 5, mark);
  },
};

// A dot for each neuron of each hidden layer, where it is on its axis; the brighter, the more it says.
function drawNeurons(canvas, { name, network }, mark) {
  const { context, width, height } = prepare(canvas), full = network.full, columns = Math.ceil(full / 4);
  const gap = Math.min((width - 8) / columns, 14), left = (width - gap * columns) / 2;
  network.hidden.forEach((values, layer) => {
    const place = slot => [left + gap * (Math.floor(slot / 4) + 0.5),
      (layer + 0.5) * (height / network.hidden.length) + ((slot % 4) - 1.5) * gap];
    for (let slot = 0; slot < full; slot++) dot(context, place(slot), 1.2, colour("line"));
    values.forEach((value, i) => {
      const slot = name === "integral" ? DATA.order[i] : Math.floor(((i + 0.5) * full) / values.length);
      context.globalAlpha = 0.3 + 0.7 * Math.min(Math.abs(value), 1);
      dot(context, place(slot), 0.36 * gap, mark);
      context.globalAlpha = 1;
    });
  });
}

function draw(part) {
  for (const agent of agents) {
    const mark = colour(agent.name);
    DRAWINGS[DATA.env](prepare(find(`${agent.name}-world`)), agent, agent.ended ? 1 : part, mark);
    drawNeurons(find(`${agent.name}-neurons`), agent, mark);
    find(`${agent.name}-total`).textContent = agent.total;
  }
}

// Controls

let measuring = 0;

function measure() {
  for (const { name, network } of agents) {
    const value = meanReturn(network), { worst, best } = environment;
    find(`${name}-return`).textContent = value.toFixed(1);
    find(`${name}-bar`).style.width = `${100 * Math.min(Math.max((value - worst) / (best - worst), 0), 1)}%`;
    find(`${name}-time`).textContent = `${microseconds(network).toFixed(1)} µs`;
  }
  find("said").textContent = `${size()} neurons: integral ${find("integral-return").textContent}, `
    + `plain ${find("plain-return").textContent}.`;
}

const size = () => Number(find("size").value);

function resize() {
  for (const { network, state } of agents) {
    network.setSize(size());
    network.run(environment.observe(state));
  }
  const { network } = agents[0];
  const removed = 100 * (1 - network.parameters() / network.parameters(network.full));
  find("shown").textContent = size();
  find("size").setAttribute("aria-valuetext", `${size()} neurons in each hidden layer`);
  find("removed").textContent = `${removed.toFixed(1)} % of ${network.parameters(network.full).toLocaleString("en")} parameters removed`;
  draw(1);
  clearTimeout(measuring);
  measuring = setTimeout(measure, 120);
}

let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
let last = 0, waiting = 0;

function play(now) {
  const passed = Math.min((now - last) / 1000, 0.1), period = environment.seconds / SPEED[DATA.env];
  last = now;
  if (playing && !document.hidden) {
    for (waiting += passed; waiting >= period; waiting -= period) {
      for (const agent of agents) {
        if (!agent.ended) agent.step();
        else if ((agent.wait -= period) <= 0) {
          agent.episode += 1;
          agent.begin();
        }
      }
    }
    draw(waiting / period);
  }
  requestAnimationFrame(play);
}

function showPlaying() {
  find("play").textContent = playing ? "Pause" : "Play";
}

find("size").addEventListener("input", resize);
find("play").addEventListener("click", () => { playing = !playing; showPlaying(); });
find("again").addEventListener("click", () => {
  const next = Math.max(...agents.map(agent => agent.episode)) + 1;
  agents.forEach(agent => { agent.episode = next; agent.begin(); });
  draw(1);
});
find("rescale").addEventListener("change", () => {
  const rescale = find("rescale").checked;
  agents[1].network.resize = (layer, n) => interpolatedLayer(layer, n, rescale);
  resize();
});
addEventListener("resize", () => draw(1));
new ResizeObserver(([{ target }]) => {
  if (parent !== window) parent.postMessage({ height: target.offsetHeight }, "*");
}).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(1));
// Who puts the page into another one says by #dark or #light what that one is.
function follow() {
  document.documentElement.className = location.hash.slice(1);
  draw(1);
}
addEventListener("hashchange", follow);
find("goal").textContent = environment.goal;
showPlaying();
resize();
follow();
requestAnimationFrame(play);
