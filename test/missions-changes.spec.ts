/** Changes of missions by external workers, and the log of a mission. */
import type { LogEntry } from '../src/missions/log.dto.js';
import { type MissionStatus, MOVES, STATUSES } from '../src/missions/missions.lifecycle.js';
import { sleep } from '../src/shared/clock.js';
import { logOf, missionsOn, pathTo, readMission, SOON_MS } from './support/missions.js';
import { STORES } from './support/stores.js';
import { json } from './support/target.js';
import { until } from './support/until.js';

const unknown = '00000000-0000-4000-8000-000000000000';

describe.each(STORES)('missions on %s', (_name, startStore) => {
  const { service, target, make, move, execute, http } = missionsOn(startStore);

  describe('changes by an external worker', () => {
    it('follow the table of moves, for every pair of statuses', async () => {
      for (const from of STATUSES) {
        for (const to of STATUSES) {
          const { id } = await make();
          for (const step of pathTo(from)) await move(id, step).expect(200);
          const answer = await service.post(`/api/missions/${id}/status?mission_status=${to}`);
          expect([from, to, answer.status]).toEqual([from, to, MOVES[from].includes(to) ? 200 : 409]);
          if (answer.status === 409) expect(answer.body.code).toBe('illegal_status_change');
        }
      }
    }, 60_000);

    it('must name exactly one status', async () => {
      const { id } = await make();
      const none = await service.post(`/api/missions/${id}/status`, {}).expect(422);
      expect(none.body.errors).toEqual([expect.objectContaining({ pointer: '/status', code: 'required' })]);
      await service
        .post(`/api/missions/${id}/status?mission_status=RUNNING`, { status: 'CANCELLED' })
        .expect(422);
      await service.post(`/api/missions/${id}/status?mission_status=running`).expect(422);
      await service
        .post(`/api/missions/${id}/status?mission_status=RUNNING`, { status: 'RUNNING' })
        .expect(200);
    });

    it('start no steps', async () => {
      const { id } = await make({ steps: [http('/outside')] });
      await move(id, 'RUNNING').expect(200);
      await execute(id).expect(409);
      await sleep(1500);
      expect(target.times('/outside')).toBe(0);
      await move(id, 'COMPLETED').expect(200);
      expect(await readMission(service, id)).toMatchObject({
        status: 'COMPLETED',
        progress: { done: 0, total: 1 },
      });
    });

    it('respect If-Match on every route', async () => {
      const { id } = await make();
      const read = await service.get(`/api/missions/${id}`).expect(200);
      expect(read.headers.etag).toBe('"1"');
      await service.post(`/api/missions/${id}/log`, { message: 'm' }).set('If-Match', '"1"').expect(202);
      for (const [path, body] of [
        ['log', { message: 'm' }],
        ['status', { status: 'RUNNING' }],
        ['execute', undefined],
        ['retry', undefined],
      ] as const) {
        const late = await service
          .post(`/api/missions/${id}/${path}`, body)
          .set('If-Match', '"1"')
          .expect(412);
        expect(late.body.code).toBe('version_mismatch');
      }
      const changed = await move(id, 'RUNNING').set('If-Match', '"2"').expect(200);
      expect(changed.headers.etag).toBe('"3"');
    });

    it('by 50 concurrent clients, with execute and retry, leave one legal history', async () => {
      target.on('/raced', (_asked, response) => json(response, {}, 400));
      const { id } = await make({ steps: [http('/raced')] });
      const wishes = [
        'execute',
        'retry',
        'RUNNING',
        'COMPLETED',
        'FAILED',
        'execute',
        'retry',
        'FAILED',
        'retry',
        'execute',
      ];
      const ask = (n: number) => {
        const wish = n === 49 ? 'CANCELLED' : wishes[n % wishes.length];
        return wish === wish.toUpperCase() ? move(id, wish) : service.post(`/api/missions/${id}/${wish}`);
      };
      const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => ask(n)));
      expect(answers.filter(({ status }) => ![200, 202, 409].includes(status))).toEqual([]);
      const settled = async (): Promise<boolean> => (await readMission(service, id)).finished_at !== null;
      await until(settled, SOON_MS, 'the end of the mission');
      const changes = await service.events({ subject: id, type: 'mission.status_changed' });
      const moves = changes.map(
        ({ payload }) => payload as { old_status: MissionStatus; new_status: MissionStatus },
      );
      let at: MissionStatus = 'PENDING';
      for (const { old_status, new_status } of moves) {
        expect(old_status).toBe(at);
        if (old_status === 'FAILED') expect(new_status).toBe('PENDING');
        else expect(MOVES[at]).toContain(new_status);
        at = new_status;
      }
      expect((await readMission(service, id)).status).toBe(at);
      const logged = (await logOf(service, id)).filter(({ message }) => message === 'Mission status changed');
      expect(logged.map(({ data }) => [data.from, data.to])).toEqual(
        moves.map(({ old_status, new_status }) => [old_status, new_status]),
      );
    });

    it('of an unknown mission return 404', async () => {
      await service.get(`/api/missions/${unknown}`).expect(404);
      await service.get(`/api/missions/${unknown}/log`).expect(404);
      await move(unknown, 'RUNNING').expect(404);
      for (const path of ['execute', 'retry'])
        await service.post(`/api/missions/${unknown}/${path}`).expect(404);
      const answer = await service.post(`/api/missions/${unknown}/log`, { message: 'm' }).expect(404);
      expect(answer.body.code).toBe('mission_not_found');
    });
  });

  describe('the log', () => {
    it('has pages, the oldest entry first', async () => {
      const { id } = await make();
      for (let i = 0; i < 5; i += 1)
        await service.post(`/api/missions/${id}/log`, { message: `${i}` }).expect(202);
      const first = await service.get(`/api/missions/${id}/log?limit=4`).expect(200);
      expect(first.body).toMatchObject({ mission_id: id, next_cursor: expect.any(String) });
      const second = await service.get(`/api/missions/${id}/log?limit=4&cursor=${first.body.next_cursor}`);
      expect(second.body.next_cursor).toBeNull();
      const all = [...first.body.log, ...second.body.log].map(({ message }: LogEntry) => message);
      expect(all).toEqual(['Mission created', '0', '1', '2', '3', '4']);
      await service.get(`/api/missions/${id}/log?cursor=rubbish`).expect(422);
    });

    it('refuses a faulty entry with every fault', async () => {
      const { id } = await make();
      const answer = await service
        .post(`/api/missions/${id}/log`, { level: 'fatal', data: 1, x: 1 })
        .expect(422);
      expect(answer.body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
        '/data',
        '/level',
        '/message',
        '/x',
      ]);
    });
  });
});
