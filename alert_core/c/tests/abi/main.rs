//! The library as a C program and LuaJIT see it: its header, its symbols, its installed files, and programs that use it.

mod header;
mod installed;
mod lua;
mod programs;
