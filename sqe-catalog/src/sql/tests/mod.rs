mod bed;
mod commits;
mod names;
mod rows;
mod storage;
