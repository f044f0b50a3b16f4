// Draws which folder imports which into docs/ARCHITECTURE.md, as dependency-cruiser finds it, so that the picture is the code's.
//   node scripts/diagram.mjs            writes the block between the two markers anew
//   node scripts/diagram.mjs --check    fails when it is stale
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const document = join(root, 'docs/ARCHITECTURE.md');
const BEGIN = '<!-- diagram: written by `node scripts/diagram.mjs` -->';
const END = '<!-- end of diagram -->';
/** From the top down; a folder's own folders stand with it. */
const LAYERS = ['bin', 'peer', 'discovery', 'storage', 'lib'];

function cruise() {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs'), '--config', '.dependency-cruiser.cjs', '--output-type', 'json', ...LAYERS],
    { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 },
  );
  if (stdout === '') throw new Error(`dependency-cruiser ended with ${status}: ${stderr}`);
  return JSON.parse(stdout).modules;
}

/** @returns 'from to' -> whether anything but types is imported */
function edgesOf(modules) {
  const edges = new Map();
  for (const { source, dependencies } of modules) {
    for (const { resolved, dependencyTypes } of dependencies) {
      const [from, to] = [dirname(source), dirname(resolved)];
      // Everything imports lib: drawn, it would hide the rest.
      if (from === to || to === 'lib' || !LAYERS.includes(to.split('/', 1)[0])) continue;
      const edge = `${from} ${to}`;
      edges.set(edge, Boolean(edges.get(edge)) || !dependencyTypes.includes('type-only'));
    }
  }
  return edges;
}

function mermaid(modules) {
  const ours = modules.map(({ source }) => dirname(source)).filter((folder) => LAYERS.includes(folder.split('/', 1)[0]));
  const folders = [...new Set(ours)].sort();
  const name = (folder) => folder.replaceAll('/', '_');
  const lines = ['```mermaid', 'flowchart TD'];
  for (const layer of LAYERS) {
    const inside = folders.filter((folder) => folder.split('/', 1)[0] === layer);
    lines.push(`  subgraph layer_${layer} [" "]`, ...inside.map((folder) => `    ${name(folder)}["${folder}/"]`), '  end');
  }
  const edges = [...edgesOf(modules)].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [edge, isValue] of edges) {
    const [from, to] = edge.split(' ').map(name);
    lines.push(`  ${from} ${isValue ? '-->' : '-.->'} ${to}`);
  }
  return [...lines, '```'].join('\n');
}

const text = readFileSync(document, 'utf8');
const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
if (begin < 0 || end < begin) throw new Error(`${document} has lost the markers of its diagram`);
const fresh = `${text.slice(0, begin)}${BEGIN}\n${mermaid(cruise())}\n${text.slice(end)}`;
if (!process.argv.includes('--check')) writeFileSync(document, fresh);
else if (fresh !== text) {
  console.error('docs/ARCHITECTURE.md: the diagram is not that of the code; write it anew with: node scripts/diagram.mjs');
  process.exitCode = 1;
}
