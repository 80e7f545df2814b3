import { checkMesh } from '../../cli/mesh';

type Vector = readonly [number, number, number];

const corners: readonly Vector[] = [
  [0, 0, 0],
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];
/** Faces of a tetrahedron of volume 1/6, seen from outside. */
const faces = [
  [0, 2, 1],
  [0, 1, 3],
  [0, 3, 2],
  [1, 2, 3],
] as const;
type Faces = readonly (readonly [number, number, number])[];

function stl(triangles: Faces): Buffer {
  const file = Buffer.alloc(84 + triangles.length * 50);
  file.writeUInt32LE(triangles.length, 80);
  for (const [index, triangle] of triangles.entries()) {
    const values = triangle.flatMap(corner => corners[corner] as Vector);
    for (const [at, value] of values.entries()) file.writeFloatLE(value, 84 + index * 50 + 12 + at * 4);
  }
  return file;
}

const obj = (triangles: Faces): Buffer =>
  Buffer.from(
    [
      ...corners.map(corner => `v ${corner.join(' ')}`),
      ...triangles.map(face => `f ${face.map(index => `${index + 1}/1/1`).join(' ')}`),
    ].join('\n'),
  );

function glb(gltf: object, binary: Buffer, length?: number): Buffer {
  const text = JSON.stringify(gltf);
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 4) * 4));
  const chunk = (type: number, data: Buffer) => {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(data.length, 0);
    head.writeUInt32LE(type, 4);
    return Buffer.concat([head, data]);
  };
  const body = Buffer.concat([chunk(0x4e4f534a, json), chunk(0x004e4942, binary)]);
  const head = Buffer.alloc(12);
  head.write('glTF');
  head.writeUInt32LE(2, 4);
  head.writeUInt32LE(length ?? body.length + 12, 8);
  return Buffer.concat([head, body]);
}

describe.each(['stl', 'obj'] as const)('a mesh as %s', format => {
  const file = (triangles: Faces) => (format === 'stl' ? stl(triangles) : obj(triangles));
  const inverted = faces.map(([a, b, c]) => [a, c, b] as const);

  test('that is closed has its triangles and its volume', () => {
    const mesh = checkMesh(file(faces), format);
    expect(mesh.triangles).toBe(4);
    expect(mesh.volume).toBeCloseTo(1 / 6);
  });

  test.each<[string, Faces, string]>([
    ['is empty', [], 'it has no triangles'],
    ['is open', faces.slice(1), 'it is open: an edge belongs to one triangle only'],
    ['is inside out', inverted, 'it is inside out'],
    ['is flat', [faces[0], [0, 1, 2]], 'it encloses no volume'],
    ['has a triangle twice', [...faces, faces[0]], 'an edge joins more than two triangles'],
    [
      'has one face turned round',
      [inverted[0] as readonly [number, number, number], ...faces.slice(1)],
      'an edge joins more than two triangles, or two that face opposite ways',
    ],
    ['has a triangle without area', [...faces, [0, 0, 1]], 'a triangle has no area'],
  ])('that %s is refused', (_, triangles, problem) => {
    expect(() => checkMesh(file(triangles), format)).toThrow(`The mesh is not sound: ${problem}`);
  });
});

test('an STL file that is cut short is refused', () => {
  expect(() => checkMesh(stl(faces).subarray(0, -1), 'stl')).toThrow('4 triangles take 284 bytes, the file has 283');
});

test('an OBJ file that names a corner it does not have is refused', () => {
  expect(() => checkMesh(Buffer.from('v 0 0 0\nf 1 2 3'), 'obj')).toThrow('a corner has no position');
});

describe('a GLB file', () => {
  const gltf = {
    meshes: [{ primitives: [{ indices: 0, attributes: { POSITION: 1 } }] }],
    accessors: [{ count: 12 }, { count: 4 }],
    bufferViews: [{ byteLength: 12 }],
  };

  test('that is whole has its triangles', () => {
    expect(checkMesh(glb(gltf, Buffer.alloc(12)), 'glb')).toEqual({ triangles: 4 });
  });

  test.each<[string, Buffer, string]>([
    ['is something else', Buffer.from('<html>not a mesh, but a page of errors</html>'), 'it is no GLB file'],
    ['is cut short', glb(gltf, Buffer.alloc(12)).subarray(0, -4), 'its header says'],
    ['refers to data that it lacks', glb(gltf, Buffer.alloc(8)), 'it refers to data beyond its end'],
    ['has no mesh', glb({}, Buffer.alloc(4)), 'it has no triangles'],
  ])('that %s is refused', (_, file, problem) => {
    expect(() => checkMesh(file, 'glb')).toThrow(`The mesh is not sound: ${problem}`);
  });
});
