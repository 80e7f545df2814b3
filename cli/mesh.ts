import { CommandError } from './errors';

export const meshFormats = ['glb', 'obj', 'stl'] as const;
export type MeshFormat = (typeof meshFormats)[number];

export interface MeshFacts {
  readonly triangles: number;
  /** In cubic units of the model. GLB files split vertices along seams, so theirs is not computed. */
  readonly volume?: number;
}

type Vector = readonly [x: number, y: number, z: number];
type Triangle = readonly [a: number, b: number, c: number];

const fault = (problem: string): CommandError => new CommandError(`The mesh is not sound: ${problem}`);

/** @throws CommandError unless each edge joins exactly two triangles of the same orientation, around a volume. */
function closedSurface(vertices: readonly Vector[], triangles: readonly Triangle[]): MeshFacts {
  if (triangles.length === 0) throw fault('it has no triangles');
  const edges = new Set<number>();
  let volume = 0;
  for (const triangle of triangles) {
    const corners = triangle.map(index => vertices[index]);
    if (corners.some(corner => corner === undefined || corner.some(value => !Number.isFinite(value))))
      throw fault('a corner has no position');
    const [[ax, ay, az], [bx, by, bz], [cx, cy, cz]] = corners as [Vector, Vector, Vector];
    volume += (ax * (by * cz - bz * cy) - ay * (bx * cz - bz * cx) + az * (bx * cy - by * cx)) / 6;
    const [a, b, c] = triangle;
    for (const [from, to] of [
      [a, b],
      [b, c],
      [c, a],
    ] as const) {
      if (from === to) throw fault('a triangle has no area');
      const edge = from * vertices.length + to;
      if (edges.has(edge)) throw fault('an edge joins more than two triangles, or two that face opposite ways');
      edges.add(edge);
    }
  }
  for (const edge of edges) {
    const opposite = (edge % vertices.length) * vertices.length + Math.floor(edge / vertices.length);
    if (!edges.has(opposite)) throw fault('it is open: an edge belongs to one triangle only');
  }
  if (volume < 0) throw fault('it is inside out');
  if (volume === 0) throw fault('it encloses no volume');
  return { triangles: triangles.length, volume };
}

const STL_HEADER = 84;
const STL_TRIANGLE = 50;

/** Binary STL: 80 bytes, a count, then a normal and three corners for each triangle. */
function checkStl(file: Buffer): MeshFacts {
  if (file.length < STL_HEADER) throw fault(`a binary STL file has at least ${STL_HEADER} bytes, this one ${file.length}`);
  const count = file.readUInt32LE(80);
  const expected = STL_HEADER + count * STL_TRIANGLE;
  if (file.length !== expected) throw fault(`${count} triangles take ${expected} bytes, the file has ${file.length}`);
  const vertices: Vector[] = [];
  const indices = new Map<string, number>();
  const corner = (offset: number): number => {
    const position = [0, 4, 8].map(at => file.readFloatLE(offset + at)) as unknown as Vector;
    // STL names no vertices: corners at the same place are the same.
    const key = position.join(' ');
    const index = indices.get(key) ?? vertices.push(position) - 1;
    indices.set(key, index);
    return index;
  };
  const triangles = Array.from({ length: count }, (_, index): Triangle => {
    const start = STL_HEADER + index * STL_TRIANGLE + 12;
    return [corner(start), corner(start + 12), corner(start + 24)];
  });
  return closedSurface(vertices, triangles);
}

function checkObj(file: Buffer): MeshFacts {
  const vertices: Vector[] = [];
  const triangles: Triangle[] = [];
  for (const line of file.toString().split('\n')) {
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === 'v') vertices.push(words.slice(0, 3).map(Number) as unknown as Vector);
    if (keyword !== 'f') continue;
    const [first, ...rest] = words.map(word => Number(word.split('/')[0]) - 1);
    for (const [index, corner] of rest.slice(1).entries()) triangles.push([first as number, rest[index] as number, corner]);
  }
  return closedSurface(vertices, triangles);
}

interface Gltf {
  readonly asset?: { version?: string };
  readonly meshes?: { primitives: { indices?: number; mode?: number; attributes: Record<string, number> }[] }[];
  readonly accessors?: { count: number; bufferView?: number }[];
  readonly bufferViews?: { byteOffset?: number; byteLength: number }[];
}

const GLB_MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const BINARY_CHUNK = 0x004e4942;
const TRIANGLES = 4;

function checkGlb(file: Buffer): MeshFacts {
  if (file.length < 20 || file.readUInt32LE(0) !== GLB_MAGIC) throw fault('it is no GLB file');
  if (file.readUInt32LE(4) !== 2) throw fault(`it is glTF ${file.readUInt32LE(4)}, not 2`);
  if (file.readUInt32LE(8) !== file.length) throw fault(`its header says ${file.readUInt32LE(8)} bytes, the file has ${file.length}`);
  const chunks = new Map<number, Buffer>();
  for (let offset = 12; offset + 8 <= file.length; ) {
    const length = file.readUInt32LE(offset);
    if (offset + 8 + length > file.length) throw fault('a chunk is longer than the file');
    chunks.set(file.readUInt32LE(offset + 4), file.subarray(offset + 8, offset + 8 + length));
    offset += 8 + length;
  }
  const json = chunks.get(JSON_CHUNK);
  const binary = chunks.get(BINARY_CHUNK);
  if (json === undefined || binary === undefined) throw fault('it lacks its JSON or its binary chunk');
  const gltf = JSON.parse(json.toString()) as Gltf;
  if (gltf.bufferViews?.some(({ byteOffset = 0, byteLength }) => byteOffset + byteLength > binary.length)) {
    throw fault('it refers to data beyond its end');
  }
  const primitives = (gltf.meshes ?? []).flatMap(mesh => mesh.primitives).filter(({ mode = TRIANGLES }) => mode === TRIANGLES);
  const corners = primitives.map(({ indices, attributes }) => gltf.accessors?.[indices ?? attributes.POSITION ?? -1]?.count ?? 0);
  const triangles = corners.reduce((sum, count) => sum + count, 0) / 3;
  if (triangles === 0 || !Number.isInteger(triangles)) throw fault('it has no triangles');
  return { triangles };
}

const checks = { stl: checkStl, obj: checkObj, glb: checkGlb } as const satisfies Record<MeshFormat, (file: Buffer) => MeshFacts>;

/** @throws CommandError saying what is wrong with the mesh. */
export function checkMesh(file: Buffer, format: MeshFormat): MeshFacts {
  try {
    return checks[format](file);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`The mesh is not sound: it cannot be read as ${format}: ${(error as Error).message}`, undefined, {
      cause: error,
    });
  }
}
