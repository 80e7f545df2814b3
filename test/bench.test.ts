import { median, percentile, slope } from '../bench/measure';

test('the median is the middle one, or between the two', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 2, 9])).toBe(3);
});

test('a percentile is the least value that so many do not exceed', () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  expect([0.5, 0.99, 1].map(share => percentile(values, share))).toEqual([100, 198, 200]);
});

test('the slope is that of the line the points are nearest to', () => {
  expect(
    slope([
      [0, 5],
      [10, 25],
      [20, 45],
    ]),
  ).toBe(2);
  expect(
    slope([
      [0, 0],
      [1, 2],
      [2, 2],
    ]),
  ).toBe(1);
});
