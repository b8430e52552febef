"use strict";
// Ids have 64 bits: they are BigInt here and digits in text, never a JavaScript number.

const $ = (id) => document.getElementById(id);
const state = { volumes: [], volume: null, slice: null, picked: null, sources: [], sinks: [], changed: null, parts: null, request: 0 };

const axis = () => Number($("axis").value);
const mode = () => document.querySelector("input[name=mode]:checked").value;
const table = () => `/segmentation/api/v1/table/${state.volume.table}`;

async function ask(path, options) {
  const answer = await fetch(path, options);
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Error(said.message || said.error || `status ${answer.status}`);
}

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").className = bad ? "bad" : "";
}

function color(root) {
  if (root === 0n) return [0, 0, 0];
  let mixed = BigInt.asUintN(64, root * 0x9e3779b97f4a7c15n);
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 29n)) * 0xbf58476d1ce4e5b9n);
  return [mixed >> 16n, mixed >> 32n, mixed >> 48n].map((part) => 55 + (Number(part & 255n) * 200) / 255);
}

async function load() {
  const [request, across, place] = [++state.request, axis(), Number($("place").value)];
  const query = new URLSearchParams({ axis: across, at: place });
  if ($("moment").value) query.set("timestamp", Date.parse($("moment").value + "Z") / 1000);
  const bytes = await (await ask(`/localcave/slices/${state.volume.datastack}?${query}`)).arrayBuffer();
  if (request !== state.request) return; // a later slice was asked for meanwhile
  const [width, height, count] = new Uint32Array(bytes, 0, 4);
  state.slice = {
    axis: across,
    place,
    width,
    height,
    supervoxels: new BigUint64Array(bytes, 16, count),
    roots: new BigUint64Array(bytes, 16 + 8 * count, count),
    pixels: new Uint32Array(bytes, 16 + 16 * count),
  };
  draw();
  $("place-shown").textContent = place;
}

function draw() {
  const { width, height, roots, pixels } = state.slice;
  for (const canvas of [$("picture"), $("marks")]) [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  const palette = Array.from(roots, color);
  pixels.forEach((place, pixel) => image.data.set([...palette[place], 255], 4 * pixel));
  $("picture").getContext("2d").putImageData(image, 0, 0);
  $("counts").textContent = `${new Set(roots).size} objects in this slice`;
  drawMarks();
}

function drawMarks() {
  const pen = $("marks").getContext("2d");
  const { width, height, supervoxels, pixels } = state.slice;
  pen.clearRect(0, 0, width, height);
  const tint = (chosen, rgb) => {
    const image = pen.getImageData(0, 0, width, height);
    pixels.forEach((place, pixel) => {
      // Every other pixel, so that the color below stays visible.
      if (chosen.has(supervoxels[place]) && (pixel + Math.floor(pixel / width)) % 2) image.data.set([...rgb, 200], 4 * pixel);
    });
    pen.putImageData(image, 0, 0);
  };
  if (state.changed) tint(state.changed, [255, 255, 255]);
  if (state.parts) state.parts.forEach((part, number) => tint(part, [[255, 60, 60], [60, 120, 255]][number] || [160, 160, 160]));
  const dot = (point, fill) => {
    pen.fillStyle = fill;
    pen.beginPath();
    pen.arc(point.x + 0.5, point.y + 0.5, Math.max(2, width / 120), 0, 7);
    pen.fill();
    pen.strokeStyle = "#fff";
    pen.stroke();
  };
  if (state.picked) dot(state.picked, "#2a2");
  state.sources.forEach((point) => dot(point, "#d22"));
  state.sinks.forEach((point) => dot(point, "#24d"));
  const ready = state.sources.length > 0 && state.sinks.length > 0;
  $("split").disabled = $("preview").disabled = !ready;
}

function pointAt(event) {
  const box = $("marks").getBoundingClientRect();
  const { width, height, supervoxels, roots, pixels } = state.slice;
  const x = Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * width)));
  const y = Math.min(height - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * height)));
  const place = pixels[y * width + x];
  const voxel = [x, y];
  voxel.splice(state.slice.axis, 0, state.slice.place);
  return { x, y, voxel, supervoxel: supervoxels[place], root: roots[place] };
}

function onWire(point) {
  const nm = point.voxel.map((along, which) => (along + 0.5) * state.volume.resolution[which]);
  return `[${point.supervoxel},${nm.join(",")}]`;
}

async function edit(path, body, done) {
  const before = new Map(Array.from(state.slice.supervoxels, (id, place) => [id, state.slice.roots[place]]));
  try {
    const query = path.includes("?") ? "&" : "?";
    const answer = await ask(`${table()}/${path}${query}int64_as_str=true`, { method: "POST", body });
    const said = await answer.json();
    $("moment").value = "";
    clear();
    await load();
    const { supervoxels, roots } = state.slice;
    state.changed = new Set(Array.from(supervoxels).filter((id, place) => before.get(id) !== roots[place]));
    drawMarks();
    await showLog();
    const still = path.startsWith("split") && said.new_root_ids.length === 1 ? "; the parts still hang together elsewhere" : "";
    say(said.operation_id === null ? "Nothing to do." : `${done}: operation ${said.operation_id}, new roots ${said.new_root_ids.join(", ")}${still}`);
  } catch (problem) {
    clear();
    say(problem.message, true);
  }
}

const sides = () => `{"sources":[${state.sources.map(onWire)}],"sinks":[${state.sinks.map(onWire)}]}`;

async function preview() {
  try {
    const answer = await (await ask(`${table()}/graph/split_preview?int64_as_str=true`, { method: "POST", body: sides() })).json();
    state.parts = answer.supervoxel_connected_components.map((part) => new Set(part.map(BigInt)));
    drawMarks();
    say(answer.illegal_split ? "This would tear the marked points of one side apart." : `${state.parts.length} parts around the points`);
  } catch (problem) {
    say(problem.message, true);
  }
}

function clear() {
  Object.assign(state, { picked: null, sources: [], sinks: [], changed: null, parts: null });
  if (state.slice) drawMarks();
  say("");
}

async function click(event) {
  const point = pointAt(event);
  if (point.supervoxel === 0n) return say("That is background.", true);
  state.changed = state.parts = null;
  if (mode() === "source") state.sources.push(point);
  else if (mode() === "sink") state.sinks.push(point);
  else if (!state.picked) {
    state.picked = point;
    say("Click the object to merge it with.");
  } else {
    const body = `[${onWire(state.picked)},${onWire(point)}]`;
    return edit("merge", body, "Merged");
  }
  drawMarks();
}

function cell(row, text, className = "") {
  const found = row.insertCell();
  found.textContent = text;
  found.className = className;
  return found;
}

async function showLog() {
  const frame = await (await ask(`${table()}/tabular_change_log_recent`)).json();
  const numbers = Object.values(frame.operation_id).sort((a, b) => b - a).slice(0, 50);
  const query = new URLSearchParams({ operation_ids: JSON.stringify(numbers), int64_as_str: "true" });
  const details = numbers.length ? await (await ask(`${table()}/operation_details?${query}`)).json() : {};
  $("log").replaceChildren();
  for (const number of numbers) {
    const one = details[number];
    const row = $("log").insertRow();
    cell(row, number);
    cell(row, one.timestamp.slice(0, 23));
    const what = "added_edges" in one ? "merge" : "split";
    const of = one.undo_operation_id ? ` (undo of ${one.undo_operation_id})` : one.redo_operation_id ? ` (redo of ${one.redo_operation_id})` : "";
    cell(row, what + of);
    cell(row, one.roots.join(" "), "ids");
    const button = document.createElement("button");
    button.textContent = "Undo";
    button.addEventListener("click", () => edit("undo", `{"operation_id":${number}}`, `Undid ${number}`));
    row.insertCell().append(button);
  }
}

async function choose() {
  state.volume = state.volumes.find((one) => one.datastack === $("datastack").value);
  $("viewer").href = state.volume.neuroglancer;
  $("place").max = state.volume.shape[axis()] - 1;
  $("place").value = Math.floor(state.volume.shape[axis()] / 2);
  await move();
  await showLog();
}

async function move() {
  clear();
  await load().catch((problem) => say(problem.message, true));
}

async function start() {
  state.volumes = await (await ask("/localcave/volumes")).json();
  if (!state.volumes.length) return say("No world is loaded.", true);
  const wanted = new URLSearchParams(location.search).get("datastack");
  for (const one of state.volumes) $("datastack").append(new Option(one.datastack, one.datastack, false, one.datastack === wanted));
  $("datastack").addEventListener("change", choose);
  $("axis").addEventListener("change", choose);
  $("place").addEventListener("input", move);
  $("moment").addEventListener("change", move);
  $("marks").addEventListener("click", click);
  $("marks").addEventListener("mousemove", (event) => {
    const { voxel, supervoxel, root } = pointAt(event);
    $("under").textContent = `voxel ${voxel.join(", ")}\nsupervoxel ${supervoxel}  root ${root}`;
  });
  $("split").addEventListener("click", () => edit($("pairs").checked ? "split?mincut=false" : "split", sides(), "Split"));
  $("preview").addEventListener("click", preview);
  $("clear").addEventListener("click", clear);
  await choose();
  document.body.dataset.ready = "yes";
}

start().catch((problem) => say(problem.message, true));
