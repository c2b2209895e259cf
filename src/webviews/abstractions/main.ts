/** The abstractions panel's script. */
import { preparePage } from '../page.ts';
import './app.ts';

preparePage();
