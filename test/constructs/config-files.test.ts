import { checksum, fill } from '../../constructs/config-files';

test('placeholders are filled, each as often as it stands', () => {
  expect(fill('{{a}} {{b}} {{a}}', { a: 1, b: 'x' }, 'f')).toBe('1 x 1');
});
test('a placeholder without a value is an error that names the file', () => {
  expect(() => fill('{{a}}', {}, 'nginx.conf')).toThrow('nginx.conf: no value for {{a}}');
});
test('a value without a placeholder is an error', () => {
  expect(() => fill('', { a: 1 }, 'nginx.conf')).toThrow('nginx.conf: no placeholder for a');
});
test('the checksum changes with the content', () => {
  expect(checksum({ a: '1' })).not.toBe(checksum({ a: '2' }));
  expect(checksum({ a: '1' })).toBe(checksum({ a: '1' }));
});
