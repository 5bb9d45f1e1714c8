import { describe, expect, it } from 'vitest';
import { RunQueue } from './run-queue.js';

describe('RunQueue', () => {
  it('runs so many at once, in order', async () => {
    const queue = new RunQueue({ maxConcurrentRuns: 2, maxQueuedRuns: 3 });
    const tickets = [1, 2, 3, 4, 5].map(() => queue.admit());
    const started: number[] = [];
    const turns = tickets.map((ticket, index) => ticket.turn().then(() => started.push(index)));
    await Promise.all(turns.slice(0, 2));
    expect([started, queue.running, queue.waiting]).toEqual([[0, 1], 2, 3]);
    tickets[1]!.release();
    await turns[2];
    expect(started).toEqual([0, 1, 2]);
    for (const ticket of tickets) ticket.release();
    await queue.idle();
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });

  it('tells those beyond to come back', () => {
    const queue = new RunQueue({ maxConcurrentRuns: 1, maxQueuedRuns: 1 });
    const first = queue.admit();
    queue.admit();
    expect(() => queue.admit()).toThrow(expect.objectContaining({ status: 429, headers: { 'Retry-After': '1' } }));
    first.release();
    expect(() => queue.admit()).not.toThrow();
  });

  it('lets an aborted request leave the queue without starting it', async () => {
    const queue = new RunQueue({ maxConcurrentRuns: 1, maxQueuedRuns: 2 });
    const [running, leaving, next] = [queue.admit(), queue.admit(), queue.admit()];
    await running.turn();
    const left = leaving.turn();
    const turn = next.turn();
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    leaving.release();
    running.release();
    expect(await turn).toBeGreaterThanOrEqual(0);
    expect(queue.running).toBe(1);
  });

  it('lets the next run start while an answer is sent, which still holds a place', async () => {
    const queue = new RunQueue({ maxConcurrentRuns: 1, maxQueuedRuns: 1 });
    const [first, second] = [queue.admit(), queue.admit()];
    await first.turn();
    const turn = second.turn();
    first.endRun();
    await turn;
    expect([queue.running, queue.waiting]).toEqual([1, 0]);
    expect(() => queue.admit()).toThrow(expect.objectContaining({ status: 429 }));
    first.release();
    second.release();
    await queue.idle();
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });

  it('ignores a second release', async () => {
    const queue = new RunQueue({ maxConcurrentRuns: 1, maxQueuedRuns: 1 });
    const [first, second] = [queue.admit(), queue.admit()];
    await first.turn();
    first.release();
    await second.turn();
    first.release();
    expect(queue.running).toBe(1);
  });

  it('admits nothing once closed, and aborts what is left', async () => {
    const queue = new RunQueue({ maxConcurrentRuns: 1, maxQueuedRuns: 1 });
    const ticket = queue.admit();
    queue.close();
    expect(() => queue.admit()).toThrow(expect.objectContaining({ status: 503 }));
    queue.abortAll(new Error('late'));
    await expect(ticket.turn()).rejects.toThrow('late');
  });
});
