/**
 * What happens one after another when something happens to the fleet, as data for EVENTS.md. A flow is told once the loaded
 * domains define all of its types, so a domain that is built later brings its flows along.
 */
export interface Flow {
  title: string;
  /** What sets it off, in a sentence. */
  sentence: string;
  /** In log order. */
  steps: { type: string; what: string }[];
}

export const FLOWS: Flow[] = [
  {
    title: 'A denial',
    sentence: 'An agent asks for an action that a rule forbids; both events carry the same decision_id.',
    steps: [
      { type: 'policy.rule_evaluated', what: 'The decision as it was made, with `result.allowed` false.' },
      { type: 'policy.action_denied', what: 'The denial by itself, for those who watch for nothing else.' },
    ],
  },
  {
    title: 'The life of a threat',
    sentence: 'A threat is reported, reported again, looked into, mitigated and closed.',
    steps: [
      { type: 'threat.detected', what: 'The first report, with status OPEN.' },
      {
        type: 'threat.seen_again',
        what: 'A report with the same fingerprint: one more occurrence, no new threat.',
      },
      { type: 'threat.status_changed', what: 'Somebody takes it: OPEN → INVESTIGATING.' },
      { type: 'threat.status_changed', what: 'The danger is over: INVESTIGATING → MITIGATED.' },
      { type: 'threat.mitigated', what: 'After the change itself, with the time it took.' },
      {
        type: 'threat.status_changed',
        what: 'It is closed: MITIGATED → RESOLVED, which does not mitigate it twice.',
      },
    ],
  },
  {
    title: 'An escalation',
    sentence: 'The severity of an open threat is raised, and that moves it to ESCALATED in the same commit.',
    steps: [
      { type: 'threat.detected', what: 'The report, with the severity as it was first estimated.' },
      { type: 'threat.severity_changed', what: 'The new estimate.' },
      { type: 'threat.status_changed', what: 'What follows from it: OPEN → ESCALATED.' },
      { type: 'threat.escalated', what: 'Once for both, with the old and the new of each.' },
    ],
  },
  {
    title: 'A critical immune event',
    sentence:
      'An agent or a module reports a state of its own with severity CRITICAL; both events carry the same event_id.',
    steps: [
      { type: 'immune.event_published', what: 'As for every immune event.' },
      { type: 'immune.critical_event', what: 'The same once more, for those who are to wake up.' },
    ],
  },
  {
    title: 'A mission',
    sentence: 'A mission is created, run and ended; every change of its status leaves an entry in its log.',
    steps: [
      { type: 'mission.created', what: 'It waits, with status PENDING.' },
      { type: 'mission.log_appended', what: '"Mission created".' },
      { type: 'mission.status_changed', what: 'It is taken: PENDING → RUNNING.' },
      { type: 'mission.log_appended', what: '"Mission status changed".' },
      { type: 'mission.status_changed', what: 'It ends: RUNNING → COMPLETED, or FAILED with a reason.' },
      { type: 'mission.log_appended', what: '"Mission status changed".' },
    ],
  },
];
