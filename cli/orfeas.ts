import { main } from './main';

main(process.argv);
