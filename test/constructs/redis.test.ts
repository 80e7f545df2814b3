import { find, manifestsOf, settingsOf } from '../support';

const manifests = manifestsOf(settingsOf('production'));
const { 'redis.conf': config, 'users.sh': users } = find(manifests, 'ConfigMap', 'redis-files').data;

test('2 GB, an LRU that spares the queue, and each write on disk before it is answered', () => {
  expect(config).toMatch(/^maxmemory 2048mb$/m);
  expect(config).toMatch(/^maxmemory-policy volatile-lru$/m);
  expect(config).toMatch(/^appendonly yes$/m);
  expect(config).toMatch(/^appendfsync always$/m);
});
test('the password is neither in the configuration nor on the command line', () => {
  expect(config).not.toMatch(/^requirepass/m);
  expect(config).toMatch(/^aclfile \/run\/redis\/users\.acl$/m);
  expect(users).toContain('| digest');
  const [redis] = find(manifests, 'StatefulSet', 'redis').spec.template.spec.containers;
  expect(redis.command).toEqual(['redis-server', '/etc/redis/redis.conf']);
});
test('clients have one address, and the pod another of its own', () => {
  expect(find(manifests, 'Service', 'redis').spec.clusterIP).toBeUndefined();
  expect(find(manifests, 'Service', 'redis-headless').spec.clusterIP).toBe('None');
  expect(find(manifests, 'StatefulSet', 'redis').spec.serviceName).toBe('redis-headless');
});
test('its data is a claim by name, which a moved construct cannot rename', () => {
  const { volumes } = find(manifests, 'StatefulSet', 'redis').spec.template.spec;
  expect(volumes).toContainEqual({ name: 'redis-data', persistentVolumeClaim: { claimName: 'redis-data' } });
});
