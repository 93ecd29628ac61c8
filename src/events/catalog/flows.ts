/**
 * Typical sequences of events, for EVENTS.md. The page shows a flow only if the loaded domains define all its types; a test
 * compares each flow with the events that the service publishes.
 */
export interface Flow {
  title: string;
  /** The cause, in one sentence. */
  sentence: string;
  /** In log order. */
  steps: { type: string; what: string }[];
}

export const FLOWS: Flow[] = [
  {
    title: 'A denial',
    sentence: 'An agent asks for an action that a rule forbids. Both events have the same decision_id.',
    steps: [
      { type: 'policy.rule_evaluated', what: 'The decision, with `result.allowed` false.' },
      { type: 'policy.action_denied', what: 'The denial alone, for consumers that need only denials.' },
    ],
  },
  {
    title: 'The life of a threat',
    sentence: 'A threat is reported, reported again, investigated, mitigated and closed.',
    steps: [
      { type: 'threat.detected', what: 'The first report, with status OPEN.' },
      {
        type: 'threat.seen_again',
        what: 'A report with the same type, source and fingerprint: one more occurrence of the same threat.',
      },
      { type: 'threat.status_changed', what: 'The investigation starts: OPEN → INVESTIGATING.' },
      { type: 'threat.status_changed', what: 'The danger is over: INVESTIGATING → MITIGATED.' },
      { type: 'threat.mitigated', what: 'After the change, with the time it took.' },
      {
        type: 'threat.status_changed',
        what: 'It is closed: MITIGATED → RESOLVED. This is not a second mitigation.',
      },
    ],
  },
  {
    title: 'An escalation',
    sentence:
      'The severity of an open threat is raised, and the same commit changes its status to ESCALATED.',
    steps: [
      { type: 'threat.detected', what: 'The report, with the first estimate of the severity.' },
      { type: 'threat.severity_changed', what: 'The new estimate.' },
      { type: 'threat.status_changed', what: 'The status follows: OPEN → ESCALATED.' },
      { type: 'threat.escalated', what: 'One event for both changes, with the old and new values.' },
    ],
  },
  {
    title: 'A critical immune event',
    sentence:
      'An agent or a module reports its own state with severity CRITICAL. Both events have the same event_id.',
    steps: [
      { type: 'immune.event_published', what: 'Published for every immune event.' },
      {
        type: 'immune.critical_event',
        what: 'The same content again, for consumers that need only critical events.',
      },
    ],
  },
  {
    title: 'A mission',
    sentence: 'A mission is created, run and ended. Every change of its status adds an entry to its log.',
    steps: [
      { type: 'mission.created', what: 'The mission waits, with status PENDING.' },
      { type: 'mission.log_appended', what: '"Mission created".' },
      { type: 'mission.status_changed', what: 'A worker starts it: PENDING → RUNNING.' },
      { type: 'mission.log_appended', what: '"Mission status changed".' },
      {
        type: 'mission.status_changed',
        what: 'The mission ends: RUNNING → COMPLETED, or FAILED with a reason.',
      },
      { type: 'mission.log_appended', what: '"Mission status changed".' },
    ],
  },
];
