import { endOfToken } from './spans.ts';
import { skipTrivia } from './trivia.ts';

/** What may follow a colon in psql for it to insert the value of a variable: `:name`, `:'name'`, `:"name"`, `:{?name}`. */
const variable = /['"{\w\u0080-\uffff]/;

/**
 * The same statements for a file that psql reads. Outside of strings and comments psql replaces `:name` by the value of
 * its variable of that name. In SQL such a colon stands in the slice of an array only, where a space may follow it.
 */
export function withoutVariables(text: string): string {
  let kept = '';
  let copied = 0;
  for (let at = skipTrivia(text, 0); at < text.length; ) {
    const isOperator = text.startsWith('::', at) || text.startsWith(':=', at);
    const end = isOperator ? at + 2 : endOfToken(text, at);
    if (!isOperator && text[at] === ':' && variable.test(text.charAt(end))) {
      kept += `${text.slice(copied, end)} `;
      copied = end;
    }
    at = skipTrivia(text, end);
  }
  return kept + text.slice(copied);
}
