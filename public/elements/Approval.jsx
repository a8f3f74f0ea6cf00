// The card under a tool call that waits for a person's consent. The page runs it anew whenever it draws the card, so
// what is being typed is kept in the tab's own storage.
import { Button } from '@/components/ui/button';
import { Input } from '@/components/ui/input';
import { Textarea } from '@/components/ui/textarea';
import { useState } from 'react';

const DRAFT = `approval ${props.step}`;

function readDraft() {
  try {
    return JSON.parse(sessionStorage.getItem(DRAFT)) || {};
  } catch {
    return {};
  }
}

function shown(value) {
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}

export default function Approval() {
  const [draft, setDraft] = useState(readDraft);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const mode = draft.mode || 'ask';

  const change = (news) => {
    const next = { ...draft, ...news };
    sessionStorage.setItem(DRAFT, JSON.stringify(next));
    setDraft(next);
    setProblem('');
  };

  const decide = async (decision, more) => {
    setBusy(true);
    setProblem('');
    try {
      const answer = await callAction({
        name: props.action,
        payload: { step_id: props.step, decision, ...more }
      });
      if (answer?.response?.problem) setProblem(answer.response.problem);
      else sessionStorage.removeItem(DRAFT);
    } catch {
      setProblem('This did not reach the app. Please try again.');
    }
    setBusy(false);
  };

  const until = new Date(props.until).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
  const written = draft.arguments ?? JSON.stringify(props.arguments, null, 2);

  return (
    <section className="approval" aria-label={`May ${props.tool} run?`}>
      <header>
        <p>
          May <code>{props.tool}</code> run?
        </p>
        <p className="until">
          waits until <time dateTime={props.until}>{until}</time>
        </p>
      </header>
      {mode === 'edit' ? (
        <Textarea
          autoFocus
          aria-label="Arguments as JSON"
          className="arguments"
          spellCheck={false}
          rows={Math.min(14, written.split('\n').length + 1)}
          value={written}
          onChange={(event) => change({ arguments: event.target.value })}
        />
      ) : (
        <dl>
          {Object.entries(props.arguments).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{shown(value)}</dd>
            </div>
          ))}
        </dl>
      )}
      {mode === 'deny' ? (
        <Input
          autoFocus
          aria-label="Reason"
          placeholder="Why not? The model is told. (You may leave this empty.)"
          maxLength={2000}
          value={draft.reason || ''}
          onChange={(event) => change({ reason: event.target.value })}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && !event.nativeEvent.isComposing) decide('deny', { reason: draft.reason });
          }}
        />
      ) : null}
      {problem ? (
        <p role="alert" className="problem">
          {problem}
        </p>
      ) : null}
      <footer>
        {mode === 'ask' ? (
          <>
            <Button size="sm" disabled={busy} onClick={() => decide('approve')}>
              Approve
            </Button>
            <Button size="sm" variant="outline" disabled={busy} onClick={() => change({ mode: 'edit' })}>
              Edit arguments
            </Button>
            <Button size="sm" variant="outline" disabled={busy} onClick={() => change({ mode: 'deny' })}>
              Deny
            </Button>
          </>
        ) : (
          <>
            {mode === 'edit' ? (
              <Button size="sm" disabled={busy} onClick={() => decide('approve', { arguments: written })}>
                Approve with these
              </Button>
            ) : (
              <Button size="sm" variant="destructive" disabled={busy} onClick={() => decide('deny', { reason: draft.reason })}>
                Deny
              </Button>
            )}
            <Button size="sm" variant="ghost" disabled={busy} onClick={() => change({ mode: 'ask' })}>
              Back
            </Button>
          </>
        )}
      </footer>
    </section>
  );
}
