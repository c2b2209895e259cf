/**
 * The panel's end of its connection with the extension: messages out, messages in, and what is kept over a reload.
 * Knows nothing of any panel.
 */
interface VSCode {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare function acquireVsCodeApi(): VSCode;

const vscode = acquireVsCodeApi(); // may be called once only

export function send(message: object): void {
  vscode.postMessage(message);
}

/** Calls `receive` with whatever comes; it must check it. */
export function onMessage(receive: (message: unknown) => void): void {
  window.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
    receive(data);
  });
}

export function saved(): unknown {
  return vscode.getState();
}

export function save(state: object): void {
  vscode.setState(state);
}
